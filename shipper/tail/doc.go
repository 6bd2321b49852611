// Package tail turns log files into batches of chunks with exact positions,
// through every kind of rotation.
//
// The walk of a line: the finder (finder.go) found its file, or a watch (notify_linux.go,
// wake.go) told of it; the source (source.go) looked at the path and saw that it is
// not the file it holds, so it read the directory (lister.go, scan.go) until two
// readings agreed and told apart what is held, sought, shipped, a copy, and new
// (reconcile.go, match.go, past.go, forgotten.go, sibling.go, packed.go). The new file became a generation
// (generation.go) and is held open from then on. Fill (tailer.go, read.go) reads it in blocks with
// pread, compares the bytes before the position once more, cuts behind the last newline, and
// appends a Chunk to the Batch (batch.go). When the hub has the batch, Acked moves
// the acknowledged position, and Known hands it to the checkpoint. Files that fall quiet rest
// (idle.go): one watch event or the sweep wakes them.
//
// # What is promised
//
//   - Every byte of every generation that could be read is in exactly one chunk, at its offset,
//     in order, unless Recover sets the position back.
//   - A generation is one file, whatever it is called: device, inode, birth time
//     and the hash of its beginning ([Identity]). It is continued only where the bytes before the
//     position are the ones that were shipped ([Check]).
//   - A generation begins with an Open. A batch says nothing else of a source
//     whose Open it holds but what belongs to that generation or comes after it.
//   - What was seen and cannot be had any more is declared by a Missing with
//     its exact range; a second one with To -1 says that a file which is gone may have grown while nobody looked.
//   - Nothing that happens to a file ends the tailer: faults are told in Stats and tried again.
//
// # What is not
//
//   - A file that is made, filled and removed between two looks (5 ms while its
//     source is busy, at once on a watch event) is known to nobody, and so are bytes that are appended and
//     cut away between two looks.
//   - Hold keeps deleted files, not truncated ones: link and log are one file.
//   - Late bytes of a generation that has ended are read while its descriptor is held (Grace after the
//     last of them) and whenever a later scan finds it longer than it was; order between them and the
//     successor's is then that of reading.
//   - Files that were compressed before the first look are not shipped.
//   - The order of generations that came between two looks is that of their
//     last writing; the clock of the file system has to tell them apart, else their names do.
//
// # Ownership
//
// One goroutine calls all methods; the channel of Wake may be read by any.
// Beside it run the waker, the reader of inotify events, and one search for new files at a
// time; Close ends them. Fill does not block on locks or the network; it reads files.
//
// Call Fill on every wake-up even while no batch may leave: with a full batch it
// reads nothing and still holds what rotation takes away. So it does between Await and Recover, while
// the hub has not told positions yet.
//
//	t, err := tail.New(cfg)
//	err = t.Await(remembered) // of the checkpoint; Fill on every Wake, until the hub answers
//	err = t.Recover(known) // of the hub, joined with the checkpoint
//	for range t.Wake() {
//		var b tail.Batch
//		err = t.Fill(&b, limits)
//		// publish b; when it is acknowledged:
//		t.Acked(&b)
//		checkpoint(t.Known())
//	}
package tail
