// Package invariants checks that a hub and its archives agree: what must hold at every moment at which nothing is in flight, whatever was
// killed, cut off or full before.
//
// ReadHub (hub.go) reads records, tables and the headers of all chains; ReadArchive (archive.go) reads the index of a stopped archive.
// Check (check.go, cover.go) compares them and lists every violation:
//
//   - twice: two archives, or two epochs of one, hold the same message
//   - unheld: a message at or below the floor is in no archive
//   - unlinked: a message of a host does not name the one before it
//   - early: a floor is above what its owner has committed
//   - purged: a message above the floor, or the head of a host, is gone from its stream
//   - overlap: two segments hold the same bytes of a generation
//   - hole: bytes below a host's position are neither archived nor in the ledger
//   - position: the archive ends elsewhere than the chain
//
// Reading the hub is done message by message without a snapshot, so agents and receivers must be stopped.
//
//	hub, err := invariants.ReadHub(ctx, nc)
//	archive, err := invariants.ReadArchive("archive")
//	for _, v := range invariants.Check(hub, []invariants.Archive{archive}) {
//		fmt.Println(v)
//	}
package invariants
