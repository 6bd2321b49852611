// Package shipper is the agent: it carries the bytes of one host's files to the hub, each once and in order.
//
// The walk of a byte: the tailer reads it into a batch (ship.go: fill); when nothing is in flight, or the batch is full, it is described by headers and
// dispatched (batch.go); an encoder compresses it; the publisher sends it with the chain's head as its expectation (publish.go); the PubAck moves the
// head, the tailer's acknowledged position and, soon after, the checkpoint (save.go). While one batch is in flight the next are read and compressed, so neither
// disk nor network waits for the other, and nothing waits when the line is idle.
//
// Until the hub has answered for the first time nothing is shipped, but the files are looked after (await.go): rotation takes nothing away meanwhile.
//
// The chain at the hub is the checkpoint, the file is the spool. At the start, and whenever the hub refuses an expectation, the batches in flight are forgotten, hello
// asks what the chain holds (hello.go), every position is set to that, and reading goes on from there. So a late publish of an earlier incarnation, a wiped or
// restored state directory and a cloned machine all come to the same: one chain, and files matched to it by identity.
//
// Guarantees: a batch is stored once or not at all; positions never pass what is stored; what cannot be delivered is declared. Not guaranteed: that one file's bytes
// travel while the hub is out of reach or full; they wait in the file, which must outlive that (see tail's hold).
//
// Run has one goroutine that owns the tailer and every batch that is not dispatched, one publisher, a few encoders and one that writes checkpoints. A batch is in one
// hand at a time.
//
//	s, err := shipper.New(nc, tailer, store, cfg) // nc: the in-process client of the agent's leaf
//	err = s.Run(ctx)                              // until ctx ends
package shipper
