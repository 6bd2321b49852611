// Package cluster embeds the NATS servers of logdrive: the hub node that keeps the streams, and the leaf inside each agent.
//
// The walk of a batch: an agent publishes it to logs.<host> on its own leaf (leaf.go), which passes it over one link (steering.go chooses to which node of those that hubs.go knows,
// pulse.go watches it, link.go says what is wrong with it; beacon.go answers at the other end) into the account AGENTS of the hub (hub.go, options.go). A service import carries it into the account LOGS, whose mapping
// turns the subject into part.<layout>.<partition>.<host>; the stream of that partition (found.go) checks that
// the sender knows the host's last sequence, writes the message, syncs it, and answers. The answer goes the same way back. An agent that does
// not know where its host stands asks hello.<host> (hello.go): the answer is the head of the host's chain (head.go) and the table of what it
// holds (chain.go; following.go keeps what was read of a long one), unless another agent ships that host now (links.go). Receivers join the account LOGS from elsewhere with Connect (connect.go), or in
// process. store.go keeps what makes a hub the same hub after a restart, and repair.go what a kill would leave unreadable; mapping.go leads batches into the layout of now, and health.go ends a node that cannot write any more.
//
// The walk of a change of the layout: WantLayout writes the key (relayout.go, layout.go); every node follows it (follow.go) and leads batches nowhere; the driver (drive.go; still.go knows when a sealed stream has come to its end) waits for
// the floors, seals the old streams, writes each host's table for its new one, makes those, and replaces the layout; every node follows again.
//
// The walk of a node: it learns from its adapter (adapter.go) who it is, waits until enough peers are known (life.go, discovery.go), starts its server with routes to them (node.go, route.go; admit.go lets in the nodes of this hub) and has a
// leader. It founds the hub together with the others, or takes over the layout that is there (together.go); the one that leads spreads the work (spread.go), and one that is cut off sends receivers away (alone.go); gateways stay as they were at its start (gateway.go). Operators ask any node (admin.go) for its members
// (members.go), make one leave (leave.go) or give a hub that has lost too many a leader again (rescue.go). A spoke is linked to its hub as a leaf (spoke.go); a hub node there passes on what agents say (relay.go).
//
// Guarantees: what the hub answered with an acknowledgement is on its disk, or on the disks of two of three nodes. A batch is stored once and after the one it expects, or refused. A stream
// that is full refuses, it never drops. A leaf cannot read any stream, reach the JetStream API, acknowledge for a
// receiver or publish into a partition by its subject. A store is used by one process, and a founded hub never makes
// a lost stream anew. A change of the layout begins only when the archive has everything of the old one, and from then on no batch is stored there.
// Not guaranteed: that an agent is who it says. Without credentials, whoever knows the secret may publish for every host; this is why such a hub serves
// loopback only.
//
// Hub and Leaf are each owned by their Run, which blocks until all it started has ended. Only this package imports the server.
//
//	hub, err := cluster.NewHub(cfg)
//	go hub.Run(ctx)
//	<-hub.Ready()
//	nc, err := hub.Connect()
package cluster
