// Package swarm runs many agents in one process, to load a hub with more links than a machine has room for processes.
//
// Run (swarm.go) starts them; each (agent.go) has a host name, a log file, a leaf node, a tailer, a checkpoint and a shipper of its own, as in
// `logdrive agent`. Three things differ: files are looked at every half second instead of every 5 ms while they are busy, since on machines of their own that
// would be their own CPU time; they start one after the other; nothing is logged below warnings.
package swarm
