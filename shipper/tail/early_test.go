package tail_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// What a tailer does before the hub has told it any position: it looks after the files and says nothing.

// tend looks until ok, and fails if anything is said.
func tend(t *testing.T, tl *tail.Tailer, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tl.Wake() {
		var b tail.Batch
		must(t, tl.Fill(&b, limits))
		if !b.Empty() {
			t.Fatalf("something is said before positions are known: %+v", b)
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s; stats %+v", what, tl.Stats())
		}
	}
}

// await is a tailer that waits for the hub to tell positions.
func await(t *testing.T, cfg tail.Config, remembered ...tail.Generation) *tail.Tailer {
	t.Helper()
	tl, err := tail.New(cfg)
	must(t, err)
	t.Cleanup(func() { tl.Close() })
	must(t, tl.Await(remembered))
	return tl
}

func opened(tl *tail.Tailer, n int) func() bool { return func() bool { return tl.Stats().Open == n } }

func held(t *testing.T, dir string, n int) func() bool {
	return func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) == n
	}
}

// contents is what the hub holds, a generation each.
func (h *hub) contents(source string) []string {
	var all []string
	for i := range h.gens[source] {
		all = append(all, string(h.data[source][uint64(i+1)]))
	}
	return all
}

func expectGenerations(t *testing.T, tl *tail.Tailer, h *hub, source string, want ...string) {
	t.Helper()
	expect(t, tl, h, source, strings.Join(want, ""))
	if got := h.contents(source); !slices.Equal(got, want) {
		t.Errorf("got the generations %q, want %q", got, want)
	}
	if len(h.miss) > 0 {
		t.Errorf("missing: %+v", h.miss)
	}
}

func TestDeletedBeforePositionsAreKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one\n")
	tl := await(t, config(path))
	tend(t, tl, "the first is open", opened(tl, 1))
	must(t, os.Remove(path))
	write(t, path, "two\n")
	tend(t, tl, "the second is open", opened(tl, 2))
	must(t, os.Remove(path))
	write(t, path, "three\n")
	tend(t, tl, "the third is open", opened(tl, 3))
	must(t, tl.Recover(nil))
	expectGenerations(t, tl, newHub(t), path, "one\n", "two\n", "three\n")
}

// The chain knows the first generation; the tailer, whose state was wiped, does not until it is told.
func TestDeletedBeforeTheChainIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one\n")
	h := shipOnce(t, config(path))
	write(t, path, "more\n")
	tl := await(t, config(path))
	tend(t, tl, "the first is open", opened(tl, 1))
	must(t, os.Remove(path))
	write(t, path, "two\n")
	tend(t, tl, "the second is open", opened(tl, 2))
	must(t, os.Remove(path))
	must(t, tl.Recover(h.known()))
	expectGenerations(t, tl, h, path, "one\nmore\n", "two\n")
}

func TestHeldBeforePositionsAreKnownThroughRestarts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	cfg := config(path)
	cfg.Hold, cfg.HoldDir = true, filepath.Join(dir, "state", "hold")
	want := []string{"one\n", "two\n", "three\n", "four\n"}
	for i, text := range want[:3] {
		write(t, path, text)
		tl := await(t, cfg)
		tend(t, tl, "all is held", held(t, cfg.HoldDir, i+1))
		must(t, tl.Close())
		must(t, os.Remove(path))
	}
	write(t, path, want[3])
	tl, h := await(t, cfg), newHub(t)
	tend(t, tl, "all is held", held(t, cfg.HoldDir, 4))
	must(t, tl.Recover(nil))
	expectGenerations(t, tl, h, path, want...)
	for i, text := range want[:3] {
		tl.Archived(path, uint64(i+1), int64(len(text)))
	}
	if n := links(t, cfg.HoldDir); n != 1 {
		t.Errorf("%d files are held, want the newest only", n)
	}
}

// Links that turn out to be of no use to anybody are let go: they would keep deleted logs on the disk for ever.
func TestHeldInVainIsLetGo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	write(t, path, "one, of which nothing is known any more\n")
	must(t, os.Link(path, path+".1"))
	must(t, os.Remove(path))
	write(t, path, "two\n")
	h := shipOnce(t, config(path))
	must(t, os.Chtimes(path+".1", time.Now(), time.Now().Add(-time.Hour)))
	cfg := config(path)
	cfg.Hold, cfg.HoldDir = true, filepath.Join(dir, "state", "hold")
	tl := await(t, cfg)
	tend(t, tl, "both are held", held(t, cfg.HoldDir, 2))
	must(t, tl.Recover(h.known()[1:])) // the hub's table has forgotten the first
	pump(t, tl, h, held(t, cfg.HoldDir, 1))
	expectGenerations(t, tl, h, path, "one, of which nothing is known any more\n", "two\n")
}

// With more files than descriptors the others are linked all the same.
func TestMoreIsHeldThanMayBeOpen(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir + "/logs")
	cfg.MaxOpen, cfg.Hold, cfg.HoldDir = 8, true, filepath.Join(dir, "state", "hold")
	must(t, os.Mkdir(dir+"/logs", 0o755))
	name := func(i int) string { return filepath.Join(dir, "logs", strings.Repeat("n", i+1)) }
	for i := range 30 {
		write(t, name(i), "a line\n")
	}
	tl, h := await(t, cfg), newHub(t)
	tend(t, tl, "all are held", held(t, cfg.HoldDir, 30))
	for i := range 30 {
		must(t, os.Remove(name(i)))
		write(t, name(i), "another\n")
	}
	tend(t, tl, "their successors are held", held(t, cfg.HoldDir, 60))
	must(t, tl.Recover(nil))
	pump(t, tl, h, func() bool { return h.total() == 30*int64(len("a line\nanother\n")) })
	for i := range 30 {
		if got := h.all(name(i)); got != "a line\nanother\n" {
			t.Errorf("got %q", got)
		}
	}
}

// A file that was cut before the hub told of it: what was seen of it is declared.
func TestCutBeforePositionsAreKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one that nobody reads\n")
	tl, h := await(t, config(path)), newHub(t)
	tend(t, tl, "it is open", opened(tl, 1))
	must(t, os.Truncate(path, 0))
	write(t, path, "two\n")
	tend(t, tl, "the cut was seen", func() bool { return tl.Stats().Behind == 26 })
	must(t, tl.Recover(nil))
	expect(t, tl, h, path, "two\n")
	want := tail.Missing{Source: path, Generation: 1, From: 0, To: 22, Reason: tail.ReasonTruncated}
	if len(h.miss) != 1 || h.miss[0] != want {
		t.Errorf("got %+v, want %+v", h.miss, want)
	}
}

// The same file, but the chain knows it: nothing is said twice.
func TestCutBeforeTheChainIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one\n")
	h := shipOnce(t, config(path))
	write(t, path, "that nobody reads\n")
	tl := await(t, config(path))
	tend(t, tl, "it is open", opened(tl, 1))
	must(t, os.Truncate(path, 0))
	write(t, path, "two\n")
	tend(t, tl, "the cut was seen", func() bool { return tl.Stats().Behind == 26 })
	must(t, tl.Recover(h.known()))
	expect(t, tl, h, path, "one\ntwo\n")
	want := tail.Missing{Source: path, Generation: 1, From: 4, To: 22, Reason: tail.ReasonTruncated}
	if len(h.miss) != 1 || h.miss[0] != want {
		t.Errorf("got %+v, want %+v", h.miss, want)
	}
}

// copytruncate before the hub is there: the copy is the first generation, whether or not the chain knows it.
func TestCopiedAndCutBeforeTheChainIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	text := strings.Repeat("a line that tells one file from another\n", 10)
	for _, known := range []bool{false, true} {
		write(t, path, text)
		h := newHub(t)
		if known {
			h = shipOnce(t, config(path))
		}
		write(t, path, "more\n")
		tl := await(t, config(path))
		tend(t, tl, "it is open", opened(tl, 1))
		write(t, path+".1", text+"more\n")
		must(t, os.Truncate(path, 0))
		write(t, path, "two\n")
		tend(t, tl, "the copy is found", opened(tl, 2))
		must(t, tl.Recover(h.known()))
		expectGenerations(t, tl, h, path, text+"more\n", "two\n")
		must(t, tl.Close())
		must(t, os.Remove(path))
		must(t, os.Remove(path+".1"))
	}
}

// What was packed before the first look is history, however often positions are set.
func TestPackedHistoryIsNotShippedAfterAnotherRecovery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path+".2", "history\n")
	must(t, packFile(path+".2"))
	write(t, path, "one\n")
	tl, h := await(t, config(path)), newHub(t)
	tend(t, tl, "it is open", opened(tl, 1))
	must(t, tl.Recover(nil))
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	expectGenerations(t, tl, h, path, "one\n", "two\n")
	must(t, tl.Recover(h.known()))
	must(t, os.Rename(path+".1", path+".3"))
	must(t, os.Rename(path, path+".1"))
	write(t, path, "three\n")
	expectGenerations(t, tl, h, path, "one\n", "two\n", "three\n")
}

// What is remembered of a generation is said of that file only: the chain may know another one under its number.
func TestWhatWasSeenOfOneFileIsNotSaidOfAnother(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	write(t, other, "x\n")
	chain := shipOnce(t, config(other)).known()
	chain[0].Source = path
	must(t, os.Remove(other))
	write(t, path, strings.Repeat("a long file\n", 100))
	h := shipOnce(t, config(path))
	tl := await(t, config(path), h.known()...)
	tend(t, tl, "it is open", opened(tl, 1))
	must(t, tl.Recover(chain))
	h = newHub(t)
	h.gens[path] = []*tail.Generation{{Source: path, Number: 1, Identity: chain[0].Identity, Offset: 2, Length: -1}}
	h.data[path] = map[uint64][]byte{1: []byte("x\n")}
	expect(t, tl, h, path, "x\n"+strings.Repeat("a long file\n", 100))
	if n := h.missing(); n > 0 {
		t.Errorf("%d bytes are declared missing that never were: %+v", n, h.miss)
	}
}

// Files that were brought from elsewhere with their times are older than the birth of any of them. An agent that is killed after the first ships the others, whether
// the chain knows it as number 1 or as a later one.
func TestOldFilesBroughtFromElsewhereAreAllShipped(t *testing.T) {
	for _, first := range []uint64{1, 7} {
		path := filepath.Join(t.TempDir(), "a.log")
		for age, name := range []string{path, path + ".1", path + ".2"} {
			write(t, name, name[len(path):]+" line\n")
			then := time.Now().Add(-time.Duration(age+1) * time.Hour)
			must(t, os.Chtimes(name, then, then))
		}
		tl := start(t, config(path))
		var b tail.Batch
		for len(b.Chunks) == 0 {
			must(t, tl.Fill(&b, tail.Limits{Bytes: 10, HeaderBytes: 48 << 10}))
		}
		must(t, tl.Close())
		known := tail.Generation{Source: path, Number: first, Identity: b.Opens[0].Identity, Offset: b.Chunks[0].Length, Length: -1, Check: b.Chunks[0].Check}
		tl = start(t, config(path), known)
		var rest string
		for deadline := time.Now().Add(20 * time.Second); rest != ".1 line\n line\n" && time.Now().Before(deadline); <-tl.Wake() {
			b.Reset()
			must(t, tl.Fill(&b, limits))
			rest += string(b.Data)
		}
		if rest != ".1 line\n line\n" {
			t.Errorf("after generation %d: got %q", first, rest)
		}
	}
}

// The link on a file that was cut in place is the next generation's as well.
func TestHeldFileThatWasCutStaysHeld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	cfg := config(path)
	cfg.Hold, cfg.HoldDir = true, filepath.Join(dir, "state", "hold")
	write(t, path, "one, and it is long\n")
	tl, h := start(t, cfg), newHub(t)
	expect(t, tl, h, path, "one, and it is long\n")
	must(t, os.Truncate(path, 0))
	write(t, path, "two\n")
	expect(t, tl, h, path, "one, and it is long\ntwo\n")
	tl.Archived(path, 1, 20)
	if n := links(t, cfg.HoldDir); n != 1 {
		t.Errorf("%d files are held, want the one that was cut", n)
	}
}

// A file was read, its batch was never stored, and then it was cut: after the hub has told that, all of it is declared.
func TestCutBeforeItsFirstBatchWasStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one that is not stored\n")
	tl, h := start(t, config(path)), newHub(t)
	var b tail.Batch
	for b.Empty() {
		must(t, tl.Fill(&b, limits))
	}
	must(t, os.Truncate(path, 0))
	write(t, path, "two\n")
	for tl.Stats().Behind == 23 {
		must(t, tl.Fill(&tail.Batch{}, tail.Limits{}))
		<-tl.Wake()
	}
	must(t, tl.Recover(nil))
	expect(t, tl, h, path, "two\n")
	want := tail.Missing{Source: path, Generation: 1, From: 0, To: 23, Reason: tail.ReasonTruncated}
	if len(h.miss) != 1 || h.miss[0] != want {
		t.Errorf("got %+v, want %+v", h.miss, want)
	}
}
