// Package fly is the adapter for machines of Fly.io: it knows them from the environment and from the DNS of the private network.
//
// The walk of a peer: Fly tells a machine in its environment who it is (env.go). The TXT record vms.<app>.internal lists the started machines of the app with
// their regions, <group>.process.<app>.internal has the addresses of those in one process group, and <machine>.vm.<app>.internal is one machine's for as long as
// it lives (machines.go, resolver.go). What is in both is a node; the shape says what it is to this one (adapter.go).
//
//   - Regions: each region is a cluster of its own, <name>-<region>, and gateways can join them all, for which hubs have no use (see cluster/DESIGN.md). Routes go to the machines of the region, gateways to those of each.
//   - HubAndSpoke: the machines of the primary region are the cluster <name>, the hub. Any other machine is a spoke, a server of its own
//     that links to the hub as a leaf.
//
// Guarantees: Peers is complete or an error, as every record that it takes to know the nodes was answered and they fit together: an address of the process
// group that is no listed machine's is looked up again, and is an error then, since that machine's region is not known. A machine that is listed and has no address
// is one that stopped in between.
// Peers are names, never addresses: those of a machine change when Fly moves it, and whoever dials a name resolves it anew. Gateways, which a running server cannot
// be told anew, so follow machines that move.
// A spoke always has a leaf to dial: while no machine of the hub is started, that is the name of the primary region, <region>.<app>.internal.
//
// Not guaranteed: that a stopped or suspended machine is known; DNS has started ones only. Nothing tells whether Fly ends a machine to start it anew or to destroy it:
// SIGTERM is the same for both, with kill_timeout (up to 5 minutes) to follow. So the adapter is no cluster.Ender; an operator who
// destroys a machine with a volume first makes it leave.
//
// An Adapter never changes; it may be used by many goroutines.
//
//	a, err := fly.New(fly.Config{Cluster: "logs", Shape: fly.Regions, Nodes: 3})
package fly
