package e2e_test

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/logdrive/logdrive/receiver/archive"
)

// piece is a segment of an archive with its bytes.
type piece struct {
	archive.Segment
	dir   string
	bytes []byte
}

// pieces reads what a stopped archive holds of a source; nothing if there is no archive yet.
func pieces(t testing.TB, dir string, src *source) []piece {
	t.Helper()
	r, err := archive.OpenReader(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	must(t, err)
	defer r.Close()
	return piecesIn(t, r, dir, src)
}

// piecesIn is pieces where the archive in dir is open.
func piecesIn(t testing.TB, r *archive.Reader, dir string, src *source) (all []piece) {
	t.Helper()
	for s, err := range r.Sources(src.host) {
		must(t, err)
		if s.Name != src.path {
			continue
		}
		for _, g := range s.Generations {
			for _, segment := range g.Segments {
				file, err := r.OpenSegment(segment)
				must(t, err)
				data, err := io.ReadAll(file)
				must(t, errors.Join(err, file.Close()))
				all = append(all, piece{segment, dir, data})
			}
		}
	}
	return all
}

// equalTogether fails the test unless several archives together hold the source: each byte once, and in its place.
func equalTogether(t testing.TB, src *source, dirs ...string) {
	t.Helper()
	var all []piece
	for _, dir := range dirs {
		all = append(all, pieces(t, dir, src)...)
	}
	equalPieces(t, src, all)
}

// equalPieces fails the test unless the pieces are the source.
func equalPieces(t testing.TB, src *source, all []piece) {
	t.Helper()
	slices.SortFunc(all, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Start, b.Start))
	})
	var joined []byte
	var generation uint64
	var end int64
	for _, p := range all {
		if p.Generation != generation {
			generation, end = p.Generation, 0
		}
		if p.Start != end || p.Length != int64(len(p.bytes)) {
			t.Errorf("%s: generation %d goes on at %d, want %d, with %d bytes of %d, in %s", src.path, p.Generation, p.Start, end, len(p.bytes), p.Length, p.dir)
		}
		end = p.Start + p.Length
		joined = append(joined, p.bytes...)
	}
	if want := src.bytes(); !bytes.Equal(joined, want) {
		t.Errorf("%s: the archives together hold %d bytes, want %d, or they differ", src.path, len(joined), len(want))
	}
}
