// Package archive keeps the bytes of all hosts in one directory tree, each once and in order, and can say which are missing and why.
//
// The walk of a batch: the worker of a partition hands it to Partition.Append (append.go), which checks each chunk against the position of its
// generation (host.go), writes what is new behind the end of a segment (segment.go, files.go), and rotates where a generation, a gap, a size or an age
// asks for it. Partition.Cut draws a border; Commit.Do (commit.go) syncs the files and then writes one transaction of the index (index.go, values.go, sum.go, group.go): positions,
// lengths, ledger entries (ledger.go) and an undo record (undo.go). When the record's floor has passed the commit, Partition.Confirm lets the janitor
// compress and expire (janitor.go, compress.go). A message that cannot be appended goes to quarantine/ (quarantine.go). After a crash, Open cuts every file to
// its committed length (recover.go); after a hand-over, SetAside moves away what another archive holds (setaside.go). Reader shows what is there (reader.go).
//
//	hosts/<host>/<source path>                     the newest bytes of a source, at its own name
//	hosts/<host>/<source path>%GGGGGGGG-OOO…       older segments: generation and offset of the first byte; also .gz, .zst
//	quarantine/<stream>-<sequence>                 messages that are no batch, whole
//	superseded/<epoch>/…                           what another archive holds by the record
//	index.db, lock                                 what is committed, and who owns the directory
//
// Guarantees: what Commit.Do has returned for survives a crash at any moment, and is in the archive once; what it has not returned for does not count and is
// appended again without doubling; no name from the network leads out of its host's directory; a byte that is skipped has a ledger entry. Not guaranteed: that
// an index restored without its files, or files without their index, mean anything (Open says so, and enters what is gone as file-damaged); anything about files
// that others write into the tree: Open removes what the index does not name.
//
// An Archive may be used from any goroutine. A Partition has one worker that appends and cuts; its commits may run in another goroutine, beside it, and the janitor rotates
// idle files under the partition's mutex. Only Janitor starts a goroutine, and waits for it.
//
//	a, err := archive.Open(cfg)
//	p, err := a.Partition(stream, created, epoch, start)
//	if !p.Knows(host) {
//		err = p.Adopt(host, table)
//	}
//	err = p.Append(message)
//	err = p.Cut().Do() // now it is durable: move the floor, then
//	p.Confirm(floor)
package archive
