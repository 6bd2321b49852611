package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
	"pgregory.net/rapid"
)

var errCrash = errors.New("crash")

// modelled is an archive beside its promise.
type modelled struct {
	*rapid.T
	cfg       archive.Config
	now       time.Time
	a         *archive.Archive
	p         *archive.Partition
	promise   promise
	committed promise   // as of the last commit
	borders   []promise // commits that may be taken back, oldest first; the first one is the start or confirmed
}

func (m *modelled) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatalf("%v", err)
	}
}

func newModelled(t *rapid.T, dir string) *modelled {
	m := &modelled{T: t, now: created, cfg: archive.DefaultConfig()}
	m.cfg.Dir, m.cfg.SegmentBytes, m.cfg.SegmentAge, m.cfg.MaxOpen = dir, 4096, time.Hour, 8
	m.cfg.Compress = rapid.SampledFrom([]string{archive.Gzip, archive.Zstd, archive.Uncompressed}).Draw(t, "compress")
	m.cfg.Now = func() time.Time { return m.now }
	m.promise = promise{
		ends: map[string]uint64{}, position: map[place]int64{}, identity: map[place]string{},
		held: map[place][]int64{}, ledger: map[string]bool{},
	}
	m.committed = m.promise.clone()
	m.borders = []promise{m.promise.clone()}
	m.open()
	return m
}

func (m *modelled) open() {
	m.Helper()
	var err error
	m.a, err = archive.Open(m.cfg)
	m.must(err)
	m.p, err = m.a.Partition(streamName, created, 1, 0)
	m.must(err)
}

func (m *modelled) shut() {
	m.p.Close()
	m.must(m.a.Close())
}

// restart opens the archive again after a crash, and finds out which commit survived: the last one known, or the one under way.
func (m *modelled) restart() {
	m.Helper()
	m.shut()
	m.open()
	m.afterReopen()
}

func (m *modelled) afterReopen() {
	m.Helper()
	switch got := m.p.Committed(); got {
	case m.committed.sequence:
	case m.promise.sequence:
		m.keep()
	default:
		m.Fatalf("after a crash the archive holds messages up to %d; %d were committed, %d appended", got, m.committed.sequence, m.promise.sequence)
	}
	m.promise = m.committed.clone()
	m.verify()
}

// keep notes a commit.
func (m *modelled) keep() {
	if m.promise.sequence > m.committed.sequence {
		m.borders = append(m.borders, m.promise.clone())
	}
	m.committed = m.promise.clone()
}

// under runs a step with a fault armed: at the nth place that can fail the disk fails, or the process dies.
func (m *modelled) under(kind string, n int, step func() error) (err error) {
	defer archive.SetFault(nil)
	defer func() {
		if r := recover(); r != nil {
			if r != errCrash {
				panic(r)
			}
			err = errCrash
		}
	}()
	if kind != "none" {
		archive.SetFault(func(where string) error {
			if n--; n >= 0 {
				return nil
			}
			if kind == "crash" {
				panic(errCrash)
			}
			return fmt.Errorf("disk fails at %s", where)
		})
	}
	return step()
}

func (m *modelled) fault() (kind string, n int) {
	return rapid.SampledFrom([]string{"none", "none", "none", "none", "error", "crash"}).Draw(m.T, "fault"), rapid.IntRange(0, 6).Draw(m.T, "at")
}

// draw makes a message: most go on where the chain is, some lie.
func (m *modelled) draw() archive.Message {
	host := rapid.SampledFrom([]string{"a", "b.c"}).Draw(m.T, "host")
	b := wire.Batch{Writer: "w", Number: m.promise.sequence}
	var raw string
	position := maps.Clone(m.promise.position)
	for range rapid.IntRange(1, 3).Draw(m.T, "chunks") {
		at := place{
			host, rapid.SampledFrom([]string{"/x", "/x/y", "/x/y/z", "/n%00000001"}).Draw(m.T, "source"),
			rapid.Uint64Range(1, 3).Draw(m.T, "generation"),
		}
		if m.promise.identity[at] == "" && !slices.ContainsFunc(b.Opens, func(o wire.Open) bool { return o.Source == at.source && o.Generation == at.generation }) {
			b.Opens = append(b.Opens, wire.Open{Source: at.source, Generation: at.generation, Identity: "i", Previous: -1})
		}
		from := max(0, position[at]+rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 0, -5, -3000, 7}).Draw(m.T, "shift"))
		to := from + rapid.Int64Range(1, 3000).Draw(m.T, "length")
		if rapid.IntRange(0, 9).Draw(m.T, "missing") == 0 && len(b.Chunks) == 0 {
			b.Missing = append(b.Missing, wire.Missing{Source: at.source, Generation: at.generation, From: from, To: to, Reason: "deleted"})
		} else {
			b.Chunks = append(b.Chunks, wire.Chunk{Source: at.source, Generation: at.generation, Offset: from, Length: to - from})
			raw += text(at, from, to)
		}
		position[at] = max(position[at], to)
	}
	return archive.Message{
		Host: host, Sequence: m.promise.sequence + 1, Expected: m.promise.ends[host], HasExpected: true, Batch: b, Raw: []byte(raw),
	}
}

func (m *modelled) append(t *rapid.T) {
	m.T = t
	msg := m.draw()
	if !m.p.Knows(msg.Host) {
		m.must(m.p.Adopt(msg.Host, wire.Table{}))
	}
	kind, n := m.fault()
	err := m.under(kind, n, func() error { return m.p.Append(msg) })
	if err == errCrash {
		m.restart()
		return
	}
	if err != nil {
		if kind != "error" {
			m.Fatalf("append: %v", err)
		}
		if rapid.Bool().Draw(t, "another first") {
			return // nothing of it counts, whatever comes next
		}
		m.must(m.p.Append(msg))
	}
	m.promise.apply(msg)
}

func (m *modelled) commit(t *rapid.T) {
	m.T = t
	kind, n := m.fault()
	err := m.under(kind, n, func() error { return m.p.Cut().Do() })
	switch {
	case err == nil:
		m.keep()
		m.verify()
	case err == errCrash:
		m.restart()
	case kind == "error":
		m.must(m.p.Close())
		m.p, err = m.a.Partition(streamName, created, 1, 0)
		m.must(err)
		m.afterReopen()
	default:
		m.Fatalf("commit: %v", err)
	}
}

func (m *modelled) confirm(t *rapid.T) {
	m.T = t
	i := rapid.IntRange(0, len(m.borders)-1).Draw(t, "border")
	m.p.Confirm(m.borders[i].sequence)
	m.borders = m.borders[i:]
}

func (m *modelled) sweep(t *rapid.T) {
	m.T = t
	m.now = m.now.Add(time.Duration(rapid.SampledFrom([]int64{-2, 0, 1, 30, 3600}).Draw(t, "seconds")) * time.Second)
	kind, n := m.fault()
	err := m.under(kind, n, func() error { return m.a.Sweep(context.Background()) })
	switch {
	case err == errCrash:
		m.restart()
	case kind == "error" && err != nil:
		m.restart()
	default:
		m.must(err)
		if m.p.Committed() == m.promise.sequence {
			m.keep()
		}
	}
}

// setAside takes commits back, and goes on as if their messages came again.
func (m *modelled) setAside(t *rapid.T) {
	m.T = t
	i := rapid.IntRange(0, len(m.borders)-1).Draw(t, "border")
	to := m.borders[i]
	m.must(m.p.Close())
	r := []handover.Range{{Epoch: 1, After: to.sequence, To: m.committed.sequence}}
	before := m.committed
	kind, n := m.fault()
	err := m.under(kind, n, func() error { return m.a.SetAside(streamName, r) })
	if err != nil {
		if err != errCrash && kind != "error" {
			m.Fatalf("set aside: %v", err)
		}
		m.must(m.a.Close())
		m.a, err = archive.Open(m.cfg)
		m.must(err)
		m.must(m.a.SetAside(streamName, r))
	}
	m.p, err = m.a.Partition(streamName, created, 1, 0)
	m.must(err)
	if got := m.p.Committed(); got != to.sequence {
		m.Fatalf("set aside to %d: committed %d", to.sequence, got)
	}
	m.committed, m.promise, m.borders = to.clone(), to.clone(), m.borders[:i+1]
	m.checkAside(&before, &to, r[0])
	m.verify()
}

// checkAside wants every byte that was taken back in superseded/.
func (m *modelled) checkAside(before, after *promise, r handover.Range) {
	var want, got int64
	for at, held := range before.held {
		want += int64(len(held) - len(after.held[at]))
	}
	dir := filepath.Join(m.cfg.Dir, "superseded", "1", streamName, fmt.Sprintf("%d-%d", r.After, r.To))
	m.walk(dir, func(path string, size int64) { got += size })
	if got < want {
		m.Fatalf("%d bytes were taken back, %d are in %s", want, got, dir)
	}
}

func (m *modelled) walk(dir string, visit func(path string, size int64)) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return err
		}
		info, err := d.Info()
		visit(path, info.Size())
		return err
	})
	m.must(err)
}

// verify compares what is committed with the promise: every byte, every ledger entry, and no file beside.
func (m *modelled) verify() {
	m.Helper()
	files, held := map[string]bool{}, map[place][]int64{}
	for host := range m.committed.ends {
		for s, err := range m.a.Sources(host) {
			m.must(err)
			for _, g := range s.Generations {
				at := place{host, s.Name, g.Number}
				if g.Offset != m.committed.position[at] {
					m.Fatalf("position of %v is %d, want %d", at, g.Offset, m.committed.position[at])
				}
				for _, seg := range g.Segments {
					m.verifySegment(at, seg)
					files[filepath.Join(m.cfg.Dir, seg.Path)] = true
					for o := seg.Start; o < seg.Start+seg.Length; o++ {
						held[at] = append(held[at], o)
					}
				}
			}
		}
	}
	for at, want := range m.committed.held {
		if !slices.Equal(held[at], want) {
			m.Fatalf("%v: the index names %d bytes, want %d", at, len(held[at]), len(want))
		}
	}
	m.verifyLedger()
	if m.promise.sequence == m.committed.sequence {
		m.walk(filepath.Join(m.cfg.Dir, "hosts"), func(path string, size int64) {
			if !files[path] && size > 0 { // an empty one was begun for a message that failed
				m.Fatalf("file %s of %d bytes is not in the index", path, size)
			}
		})
	}
}

func (m *modelled) verifySegment(at place, seg archive.Segment) {
	m.Helper()
	f, err := m.a.OpenSegment(seg)
	m.must(err)
	defer f.Close()
	b := make([]byte, seg.Length+1)
	n := 0
	for n < len(b) {
		k, err := f.Read(b[n:])
		n += k
		if err != nil {
			break
		}
	}
	if string(b[:n]) != text(at, seg.Start, seg.Start+seg.Length) {
		m.Fatalf("%s: %d bytes, want %d, or they differ", seg.Path, n, seg.Length)
	}
	if info, err := os.Stat(filepath.Join(m.cfg.Dir, seg.Path)); !seg.Compressed && m.promise.sequence == m.committed.sequence {
		m.must(err)
		if info.Size() != seg.Length {
			m.Fatalf("%s has %d bytes, %d are committed", seg.Path, info.Size(), seg.Length)
		}
	}
}

func (m *modelled) verifyLedger() {
	m.Helper()
	var got []string
	for e, err := range m.a.Ledger() {
		m.must(err)
		got = append(got, fmt.Sprintf("%s %s %d [%d,%d) %s", e.Host, e.Source, e.Generation, e.From, e.To, e.Reason))
	}
	want := slices.Sorted(maps.Keys(m.committed.ledger))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		m.Fatalf("ledger\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestModel does what workers, janitors, disks and kills do, in random order, and compares with a plain description of the rules after every step.
func TestModel(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := newModelled(t, dir)
		defer func() { m.shut() }()
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append again": m.append, "append more": m.append, "commit": m.commit,
			"confirm": m.confirm, "sweep": m.sweep, "set aside": m.setAside,
		})
	})
}
