// Command bench makes log lines, checks what became of them, measures logdrive, and shows it.
//
//	bench write --rate 10000 --duration 30s --manifest m.json /tmp/logs/app.log
//	bench check --manifest m.json ./archive            lost, doubled, torn, reordered or misplaced lines
//	bench check --against /tmp/logs ./archive          byte for byte; several archives are read as one
//	bench run [--quick] [--only WORD]                  one table of figures (make bench)
//	bench scale --agents 1000                          many agents at one hub
//	bench invariants --archive ./archive --hub URL --secret FILE
//	bench demo [PATH...]                               the promise on real logs (make demo)
//
// The walk of a line: load.go lets the writers of package lines write it, at a rate or at full speed. In a scenario (run.go names them all;
// catchup.go, steady.go, idle.go) a fleet of three processes carries it to an archive; cost.go reads their meters; visible.go
// sees it in the archive file, latency.go finds the floor that covers it; corpus.go then reads the whole archive and accepts no figure from a run
// that lost, doubled or moved a line. In failover.go and scale.go a troupe (troupe.go) of several receivers is killed and moved meanwhile: growth.go sees where
// a log goes on, floors.go when that is durable, together.go reads the archives as one. In nodeloss.go it is the nodes of a hub that are killed, stopped and come back. machine.go measures what the machine does with the same bytes without logdrive; table.go prints.
//
// The packages beneath are of use elsewhere, too: lines (numbered lines), sources (all generations of a log as one stream), proc
// (run and measure a process), fleet (hub, receivers and agents), swarm (many agents in a process), invariants (do hub and archives agree), demo.
//
// Linux gives exact peaks of memory; elsewhere ps is asked now and then.
package main
