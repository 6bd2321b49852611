package e2e_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

// T4: an archive restored from an old copy reads again what the hub still has.
func TestChaosArchiveRestoredWithinLookback(t *testing.T) {
	slow(t)
	s := startSite(t, options{receiver: []string{"--lookback", "24h"}})
	src, idle := s.newSource("app.log"), s.newSource("idle.log")
	src.lines(300)
	idle.lines(10)
	s.arrived(src, idle)
	s.receiver.stop()
	must(t, os.CopyFS(s.path("copy"), os.DirFS(s.archiveDir)))
	s.receiver.start()
	idle.lines(20)
	for range 5 {
		src.lines(500)
		src.rename(5)
	}
	s.arrived(src, idle)
	s.receiver.stop()
	s.swapArchive("copy")
	s.receiver.start()
	src.lines(100)
	s.settle(nil, src, idle)
}

// swapArchive puts another directory in the archive's place.
func (s *site) swapArchive(with string) {
	s.t.Helper()
	must(s.t, os.RemoveAll(s.archiveDir))
	must(s.t, os.Rename(s.path(with), s.archiveDir))
}

// T4: beyond the look-back the ledger names the very bytes that are gone, of idle sources too.
func TestChaosArchiveRestoredBeyondLookback(t *testing.T) {
	slow(t)
	s := startSite(t, options{receiver: []string{"--lookback", "1s"}})
	src, idle := s.newSource("app.log"), s.newSource("idle.log")
	src.lines(300)
	idle.lines(10)
	s.arrived(src, idle)
	s.receiver.stop()
	must(t, os.CopyFS(s.path("copy"), os.DirFS(s.archiveDir)))
	kept, keptIdle := src.size(), idle.size()
	s.receiver.start()
	idle.lines(20)
	s.arrived(src, idle)
	v := s.view()
	copied := v.head()
	for v.head() < copied+300 { // more batches than the hub's table may lag behind
		src.lines(1)
		s.shipped(src)
	}
	s.agent.stop()
	until(t, "what came after the copy is purged", func() bool {
		_, info := v.stream(v.partition())
		return info.State.FirstSeq > copied+2
	})
	s.receiver.stop()
	from := firstKept(t, v, src.path)
	s.swapArchive("copy")
	s.receiver.start()
	s.agent.start()
	src.lines(100)
	want := []gap{
		{source: src.path, generation: 1, from: kept, to: from, reason: "archive-restored"},
		{source: idle.path, generation: 1, from: keptIdle, to: idle.size(), reason: "archive-restored"},
	}
	s.settlesWithout(map[*source][2]int64{src: {kept, from}, idle: {keptIdle, idle.size()}}, want)
}

// While a restored archive is being healed, the hub purges nothing that it still needs, though the tables cover it and it is old.
func TestChaosNothingIsPurgedBeforeItIsHealed(t *testing.T) {
	slow(t)
	d := newDisk(t, "16m")
	s := startSite(t, options{archive: filepath.Join(d.dir, "archive"), receiver: []string{"--lookback", "24h"}})
	src := s.newSource("app.log")
	src.lines(10)
	s.floored(src)
	s.receiver.stop()
	must(t, os.CopyFS(s.path("copy"), os.DirFS(s.archiveDir)))
	s.receiver.start()
	for range 300 { // more batches than the hub's table may lag behind
		src.lines(1)
		s.shipped(src)
	}
	s.floored(src)
	s.receiver.stop()
	must(t, os.RemoveAll(s.archiveDir))
	must(t, os.CopyFS(s.archiveDir, os.DirFS(s.path("copy"))))
	d.fill()
	s.receiver.args = append(s.receiver.args, "--lookback", "1s")
	s.receiver.start()
	until(t, "the disk is full", func() bool { s.alive(); return s.receiver.says("no space left on device") > 0 })
	time.Sleep(4 * time.Second) // looks of the receiver at the age of the stream's messages
	d.free()
	src.lines(10)
	s.settle(nil, src)
}

// firstKept is the offset of the first byte of a source that its stream still holds.
func firstKept(t *testing.T, v *view, path string) int64 {
	t.Helper()
	for _, msg := range v.messages(v.partition()) {
		b, err := wire.ParseBatch(msg.Header)
		must(t, err)
		for _, c := range b.Chunks {
			if c.Source == path {
				return c.Offset
			}
		}
	}
	t.Fatalf("the stream holds nothing of %s", path)
	return 0
}

// settlesWithout is settle where the archive holds the sources, each of one generation, but for a range.
func (s *site) settlesWithout(gone map[*source][2]int64, ledger []gap) {
	s.t.Helper()
	s.arrivesWithout(gone)
	s.ledger(ledger)
	s.invariants()
	s.hub.stop()
}

// arrivesWithout waits for that, and stops agent and receiver.
func (s *site) arrivesWithout(gone map[*source][2]int64) {
	s.t.Helper()
	until(s.t, "the archive holds all but what is gone", func() bool {
		s.alive()
		for src, g := range gone {
			if !bytes.Equal(s.allArchived(src), src.without(g)) {
				return false
			}
		}
		return true
	})
	s.agent.stop()
	s.receiver.stop()
	for src, g := range gone {
		if !bytes.Equal(s.allArchived(src), src.without(g)) {
			s.t.Errorf("%s: the archive does not hold all but [%d, %d)", src.path, g[0], g[1])
		}
	}
}

func (s *site) allArchived(src *source) []byte {
	s.t.Helper()
	r, err := archived(s.archiveDir, src)
	must(s.t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(s.t, err)
	return data
}

// bytes is everything that was written.
func (s *source) bytes() []byte {
	r, done, err := s.want()
	must(s.t, err)
	defer done()
	data, err := io.ReadAll(r)
	must(s.t, err)
	return data
}

// without is everything that was written but for a range.
func (s *source) without(gone [2]int64) []byte {
	all := s.bytes()
	return append(all[:gone[0]:gone[0]], all[gone[1]:]...)
}

// An archive that is lost altogether: a new one takes over from the floor, and holds nothing that the old one holds.
func TestChaosArchiveLost(t *testing.T) {
	slow(t)
	s := startSite(t, options{})
	src := s.newSource("app.log")
	src.lines(1000)
	s.arrived(src)
	s.receiver.stop()
	src.lines(100)
	old := s.path("old")
	must(t, os.Rename(s.archiveDir, old))
	s.receiver.start()
	src.lines(200)
	src.rename(0)
	src.lines(300)
	s.floored(src)
	if r := s.view().record(s.view().partition()); r.Epoch != 2 {
		t.Errorf("the record is at epoch %d, want 2", r.Epoch)
	}
	s.agent.stop()
	s.receiver.stop()
	equalTogether(t, src, old, s.archiveDir)
	s.ledger(nil)
	s.invariants(old)
}

// shipped waits until the hub has everything, and gives the sequence of the last batch.
func (s *site) shipped(all ...*source) (head uint64) {
	s.t.Helper()
	v := s.view()
	defer v.nc.Close()
	until(s.t, "the hub has everything that was written", func() bool {
		s.alive()
		table := v.tableAtHead()
		for _, src := range all {
			if !src.shippedAs(table.Sources[src.path]) {
				return false
			}
		}
		head = table.Sequence
		return true
	})
	return head
}

// floored waits until everything is shipped, and archived for good.
func (s *site) floored(all ...*source) {
	s.t.Helper()
	head := s.shipped(all...)
	v := s.view()
	defer v.nc.Close()
	until(s.t, "the floor covers everything", func() bool {
		s.alive()
		return v.record(v.partition()).Floor >= head
	})
}

// Archives come, are lost and come back, while their receivers are killed: each takes over from the floor, one that comes back sets aside what another has
// archived since, and together they hold every byte once.
func TestChaosArchivesTakeTurns(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{})
	src := s.newSource("app.log")
	dirs := []string{s.path("archive"), s.path("b"), s.path("c")}
	stop := src.keepWriting(r.Uint64(), habit{lines: 50, pause: 10 * time.Millisecond, every: 3 * time.Second, rotate: byRename})
	for turn := range length(9) {
		wait(r, 2*time.Second)
		if r.IntN(3) == 0 {
			s.receiver.stop()
		} else {
			s.receiver.kill()
		}
		s.archiveIn(dirs[(turn+1+r.IntN(2))%3])
		s.receiver.start()
		if r.IntN(3) > 0 {
			until(t, "the archive owns its partitions", func() bool { s.alive(); return s.owned() })
		}
	}
	stop()
	for _, dir := range dirs { // the last look of each at the record
		until(t, "the archive owns its partitions", func() bool { s.alive(); return s.owned() })
		s.floored(src)
		s.receiver.stop()
		s.archiveIn(dir)
		s.receiver.start()
	}
	until(t, "the archive owns its partitions", func() bool { s.alive(); return s.owned() })
	s.floored(src)
	s.agent.stop()
	s.receiver.stop()
	equalTogether(t, src, dirs...)
	for _, dir := range dirs {
		if l := readLedger(t, dir); len(l) > 0 {
			t.Errorf("ledger of %s holds %v", dir, l)
		}
	}
	s.invariants(slices.DeleteFunc(dirs, func(dir string) bool { return dir == s.archiveDir })...)
}

// owned reports whether the receiver that was started last has owned all partitions.
func (s *site) owned() bool {
	return s.receiver.says("owns partition") >= 2
}

// archiveIn makes the receiver write another archive from its next start on.
func (s *site) archiveIn(dir string) {
	s.receiver.args[slices.Index(s.receiver.args, "--archive")+1] = dir
	s.archiveDir = dir
}
