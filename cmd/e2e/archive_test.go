package e2e_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/lines"
	"github.com/logdrive/logdrive/cmd/bench/sources"
	"github.com/logdrive/logdrive/receiver/archive"
)

// listing is what an archive holds, by host and path.
type listing map[[2]string]sources.Source

// list lists an archive; it is empty before its receiver has made it.
func list(dir string) (listing, error) {
	all, err := sources.Archive(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := listing{}
	for _, a := range all {
		l[[2]string{a.Host, a.Path}] = a
	}
	return l, nil
}

// open reads a source, all generations joined; empty if there is nothing yet.
func (l listing) open(src *source) (io.ReadCloser, error) {
	a, ok := l[[2]string{src.host, src.path}]
	if !ok {
		return io.NopCloser(&bytes.Buffer{}), nil
	}
	return a.Open()
}

// archived reads what an archive holds of a source.
func archived(dir string, src *source) (io.ReadCloser, error) {
	held, err := list(dir)
	if err != nil {
		return nil, err
	}
	return held.open(src)
}

// compare tells how a source and its archive differ.
func (l listing) compare(src *source) (sources.Difference, error) {
	got, err := l.open(src)
	if err != nil {
		return sources.Difference{}, err
	}
	defer got.Close()
	want, done, err := src.want()
	if err != nil {
		return sources.Difference{}, err
	}
	defer done()
	return sources.Compare(want, got)
}

// arrived waits until the archive shows the sources whole, as long as it goes on growing.
func (s *site) arrived(all ...*source) {
	s.t.Helper()
	var most int64
	end := time.Now().Add(patience)
	for {
		s.alive()
		missing, grown := "", int64(0)
		held, err := list(s.archiveDir)
		must(s.t, err)
		for _, src := range all {
			d, err := held.compare(src)
			grown += d.At
			if err != nil || !d.Equal {
				missing = fmt.Sprintf("%s: %v %v", filepath.Base(src.path), d, err)
			}
		}
		if missing == "" {
			return
		}
		if grown > most {
			most, end = grown, time.Now().Add(patience)
		}
		if time.Now().After(end) {
			s.diagnose(all...)
			s.t.Fatalf("the archive does not hold all: %s", missing)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// equal fails the test unless archive and sources are equal byte for byte.
func (s *site) equal(all ...*source) {
	s.t.Helper()
	same := true
	held, err := list(s.archiveDir)
	must(s.t, err)
	for _, src := range all {
		d, err := held.compare(src)
		if err != nil || !d.Equal {
			same = false
			s.t.Errorf("%s: the archive %v %v", filepath.Base(src.path), d, err)
		}
	}
	if !same {
		s.diagnose(all...)
	}
}

// diagnose says in lines what is wrong with the bytes.
func (s *site) diagnose(all ...*source) {
	s.t.Helper()
	var c lines.Checker
	held, err := list(s.archiveDir)
	must(s.t, err)
	for _, src := range all {
		c.Expect(src.maker.Origin(), src.maker.Next())
		r, err := held.open(src)
		if err == nil {
			err = c.Read(src.path, r)
			r.Close()
		}
		if err != nil {
			s.t.Log(err)
		}
	}
	report := c.Report()
	s.t.Logf("lines: %+v", report)
	entries, err := filepath.Glob(filepath.Join(s.archiveDir, "hosts/*", s.path("logs"), "*"))
	for _, e := range entries {
		if info, err := os.Stat(e); err == nil {
			s.t.Logf("archive %9d %s", info.Size(), filepath.Base(e))
		}
	}
	if err != nil {
		s.t.Log(err)
	}
}

// openIndex opens the archive to read it; its receiver must have stopped.
func openIndex(t testing.TB, dir string) *archive.Reader {
	t.Helper()
	r, err := archive.OpenReader(dir)
	must(t, err)
	return r
}

// gap is a ledger entry as a test expects it.
type gap struct {
	source     string
	generation uint64
	from, to   int64
	reason     string
}

func (g gap) String() string {
	return fmt.Sprintf("%s generation %d [%d, %d) %s", filepath.Base(g.source), g.generation, g.from, g.to, g.reason)
}

func compareGaps(a, b gap) int {
	return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.generation, b.generation), cmp.Compare(a.from, b.from), cmp.Compare(a.reason, b.reason))
}

// readLedger lists the ledger of an archive whose receiver has stopped.
func readLedger(t testing.TB, dir string) []gap {
	t.Helper()
	a := openIndex(t, dir)
	defer a.Close()
	return readEntries(t, a)
}

func readEntries(t testing.TB, a *archive.Reader) []gap {
	t.Helper()
	var all []gap
	for e, err := range a.Ledger() {
		must(t, err)
		all = append(all, gap{source: e.Source, generation: e.Generation, from: e.From, to: e.To, reason: e.Reason})
	}
	slices.SortFunc(all, compareGaps)
	return all
}

// ledger fails the test unless the ledger holds exactly these entries.
func (s *site) ledger(want []gap) {
	s.t.Helper()
	got := readLedger(s.t, s.archiveDir)
	slices.SortFunc(want, compareGaps)
	if !slices.Equal(got, want) {
		s.t.Errorf("ledger holds %v, want %v", got, want)
	}
}
