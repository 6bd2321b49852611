// Package sources finds and reads log files whole: every generation of a source, the oldest first, joined and
// decompressed, from an archive (archive.go) or from the host's own directories (disk.go); and it compares two such
// streams byte for byte (compare.go).
//
// An archive is read by its names alone, never by its index, which a running receiver locks. So a live archive can be
// read, too: Open (open.go) takes hold of all files of a source before it reads, and looks again whether the names still
// mean them; a rotation or compression in between makes it start over. What is appended later is not seen. Names
// that the archive had to shorten with a hash stay as they are: such sources are read under their encoded name.
//
//	all, err := sources.Archive("archive")
//	for _, s := range all {
//		r, err := s.Open()
//		…
//	}
package sources
