package tail_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/logdrive/logdrive/shipper/tail"
)

// shipOnce ships what the paths have, and returns what the hub holds then.
func shipOnce(t *testing.T, cfg tail.Config, known ...tail.Generation) *hub {
	t.Helper()
	cfg.Once = true
	tl, h := start(t, cfg, known...), newHub(t)
	pump(t, tl, h, tl.Done)
	return h
}

func (h *hub) sources(dir string) string {
	var names []string
	for s := range h.gens {
		names = append(names, strings.TrimPrefix(s, dir+"/"))
	}
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

func TestDirectoryMeansTextThatIsNotCompressed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/deep/er", 0o755))
	write(t, dir+"/a.log", "a\n")
	write(t, dir+"/deep/er/noext", "b\n")
	write(t, dir+"/binary", "x\x00y\n")
	write(t, dir+"/core.1", "core\n")
	write(t, dir+"/old.gz", "\x1f\x8b\x08 not really\n")
	write(t, dir+"/excluded.log", "no\n")
	cfg := config(dir)
	cfg.Exclude = []string{dir + "/exc*"}
	if got, want := shipOnce(t, cfg).sources(dir), "a.log core.1 deep/er/noext"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGlobsReachDownAndCarryBinary(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/x/y", 0o755))
	write(t, dir+"/a.log", "a\n")
	write(t, dir+"/x/y/b.log", "b\x00\n")
	write(t, dir+"/x/y/c.txt", "c\n")
	write(t, dir+"/a.log.1", "older\n")
	h := shipOnce(t, config(dir+"/**/*.log*"))
	if got, want := h.sources(dir), "a.log x/y/b.log"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := h.all(dir+"/a.log"), "older\na\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNamedNumberedFileIsASourceOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/app.1", "one\n")
	write(t, dir+"/app.2", "two\n")
	h := shipOnce(t, config(dir+"/app.*"))
	if got, want := h.sources(dir), "app.1 app.2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFileThatAppearsLaterIsFound(t *testing.T) {
	dir := t.TempDir()
	tl, h := start(t, config(dir+"/*/*.log")), newHub(t)
	must(t, os.MkdirAll(dir+"/new", 0o755))
	write(t, dir+"/new/a.log", "a\n")
	expect(t, tl, h, dir+"/new/a.log", "a\n")
}

func TestFileHasOneSourceWhateverItsNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.log", "a\n")
	must(t, os.Symlink(dir+"/a.log", dir+"/link.log"))
	must(t, os.Link(dir+"/a.log", dir+"/z.log"))
	h := shipOnce(t, config(dir+"/*.log"))
	if got, want := h.sources(dir), "a.log"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRenamedFileStaysWithItsSource(t *testing.T) {
	dir := t.TempDir()
	tl, h := start(t, config(dir+"/*.log")), newHub(t)
	write(t, dir+"/a.log", "one\n")
	expect(t, tl, h, dir+"/a.log", "one\n")
	must(t, os.Rename(dir+"/a.log", dir+"/renamed-by-hand.log"))
	write(t, dir+"/renamed-by-hand.log", "two\n")
	write(t, dir+"/a.log", "three\n")
	expect(t, tl, h, dir+"/a.log", "one\ntwo\nthree\n")
	if got, want := h.sources(dir), "a.log"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsNoFileIsAFaultAndNotTheEnd(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(dir+"/fifo", 0o644))
	write(t, dir+"/a.log", "a\n")
	tl, h := start(t, config(dir+"/fifo", dir+"/a.log", dir+"/absent")), newHub(t)
	expect(t, tl, h, dir+"/a.log", "a\n")
	var faults []string
	for _, f := range tl.Stats().Faults {
		faults = append(faults, strings.ReplaceAll(f.Error, dir+"/", ""))
	}
	want := "stat absent: no such file or directory; tail fifo: not a regular file"
	if got := strings.Join(slices.Sorted(slices.Values(faults)), "; "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	must(t, os.Remove(dir+"/fifo"))
	write(t, dir+"/fifo", "now a file\n")
	expect(t, tl, h, dir+"/fifo", "now a file\n")
}

func TestLineLongerThanABatchComesInPieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	long := strings.Repeat("0123456789", 50_000) + "\n"
	write(t, path, "short\n"+long+"short\n")
	tl, h := start(t, config(path)), newHub(t)
	for h.all(path) != "short\n"+long+"short\n" {
		var b tail.Batch
		must(t, tl.Fill(&b, tail.Limits{Bytes: 100_000, HeaderBytes: 48 << 10}))
		if len(b.Data) > 100_000 {
			t.Fatalf("%d bytes in a batch of 100,000", len(b.Data))
		}
		if b.Empty() {
			<-tl.Wake()
		}
		h.take(&b)
		tl.Acked(&b)
	}
}

func TestHeadersStayBelowTheirLimit(t *testing.T) {
	dir := t.TempDir()
	deep := dir + "/" + strings.Repeat(strings.Repeat("d", 200)+"/", 4)
	must(t, os.MkdirAll(deep, 0o755))
	for i := range 200 {
		write(t, deep+strings.Repeat("n", i+1), "a line\n")
	}
	tl, h := start(t, config(dir)), newHub(t)
	for len(h.gens) < 200 {
		var b tail.Batch
		must(t, tl.Fill(&b, limits))
		if b.HeaderBytes() > limits.HeaderBytes {
			t.Fatalf("%d bytes of headers, limit %d", b.HeaderBytes(), limits.HeaderBytes)
		}
		if b.Empty() {
			<-tl.Wake()
		}
		h.take(&b)
		tl.Acked(&b)
	}
}

func TestBytesThatWereCutUnreadAreDeclaredExactly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	write(t, path, "unterminated, so it waits")
	var b tail.Batch
	for tl.Stats().Behind == 0 {
		must(t, tl.Fill(&b, limits))
		<-tl.Wake()
	}
	must(t, os.Truncate(path, 0))
	write(t, path, "two\n")
	pump(t, tl, h, func() bool { return h.all(path) == "one\ntwo\n" })
	want := tail.Missing{Source: path, Generation: 1, From: 4, To: 29, Reason: tail.ReasonTruncated}
	if len(h.miss) != 1 || h.miss[0] != want {
		t.Errorf("got %+v, want %+v", h.miss, want)
	}
}

func TestStateFromOtherHardwareIsMatchedByContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	text := strings.Repeat("a line that tells\n", 10)
	write(t, path, text)
	h := shipOnce(t, config(path))
	known := h.known()
	known[0].Identity.Device++
	known[0].Identity.Inode++
	write(t, path, "more\n")
	tl := start(t, config(path), known...)
	expect(t, tl, h, path, text+"more\n")
	if n := len(h.gens[path]); n != 1 {
		t.Errorf("%d generations, want 1", n)
	}
}

func TestPackedWhileDownIsReadOnInThePackedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	first := strings.Repeat("shipped before the rotation\n", 10)
	write(t, path, first)
	h := shipOnce(t, config(path))
	write(t, path, "unshipped\n")
	must(t, os.Rename(path, path+".1"))
	must(t, packFile(path+".1"))
	write(t, path, "next\n")
	tl := start(t, config(path), h.known()...)
	expect(t, tl, h, path, first+"unshipped\nnext\n")
	if n := len(h.gens[path]); n != 2 {
		t.Errorf("%d generations, want 2", n)
	}
}

func TestHeldFileOutlivesItsDeletionUntilItIsArchived(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	cfg := config(path)
	cfg.Hold, cfg.HoldDir = true, filepath.Join(dir, "state", "hold")
	tl, h := start(t, cfg), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	must(t, tl.Close())
	write(t, path, "two\n")
	must(t, os.Remove(path))
	write(t, path, "three\n")

	tl = start(t, cfg, h.known()...)
	expect(t, tl, h, path, "one\ntwo\nthree\n")
	if n := links(t, cfg.HoldDir); n != 2 {
		t.Errorf("%d files held, want 2", n)
	}
	tl.Archived(path, 1, 7)
	if n := links(t, cfg.HoldDir); n == 1 {
		t.Errorf("generation 1 was let go at offset 7 of 8")
	}
	tl.Archived(path, 1, 8)
	if n := links(t, cfg.HoldDir); n != 1 {
		t.Errorf("%d files held, want 1", n)
	}
}

func links(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	return len(entries)
}

func TestFewDescriptorsAreEnoughForManyFiles(t *testing.T) {
	dir := t.TempDir()
	cfg := config(dir)
	cfg.MaxOpen = 8
	for i := range 100 {
		write(t, filepath.Join(dir, strings.Repeat("n", i+1)), "a line\n")
	}
	tl, h := start(t, cfg), newHub(t)
	pump(t, tl, h, func() bool {
		if n := tl.Stats().Open; n > 8 {
			t.Fatalf("%d files are open", n)
		}
		return len(h.gens) == 100
	})
	for i := range 100 {
		write(t, filepath.Join(dir, strings.Repeat("n", i+1)), "another\n")
	}
	pump(t, tl, h, func() bool { return h.total() == 100*int64(len("a line\nanother\n")) })
}

func (h *hub) total() (n int64) {
	for _, gens := range h.gens {
		for _, g := range gens {
			n += g.Offset
		}
	}
	return n
}

func TestFullBatchStillHoldsWhatRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	look := func() { must(t, tl.Fill(&tail.Batch{}, tail.Limits{})) }
	look()
	must(t, os.Remove(path))
	write(t, path, "two\n")
	pumpLooks(t, tl, look)
	must(t, os.Remove(path))
	write(t, path, "three\n")
	expect(t, tl, h, path, "one\ntwo\nthree\n")
}

// pumpLooks looks until two files are held.
func pumpLooks(t *testing.T, tl *tail.Tailer, look func()) {
	t.Helper()
	for tl.Stats().Open < 2 {
		<-tl.Wake()
		look()
	}
}

func TestConfigListsEveryFault(t *testing.T) {
	cfg := tail.DefaultConfig()
	cfg.Paths = []string{"relative", "/bad/[glob"}
	cfg.Hold, cfg.Tick, cfg.MaxOpen = true, 0, 1
	err := cfg.Validate()
	for _, want := range []string{"relative", "[glob", "hold", "tick", "max open"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add(tail.Identity{Device: 1, Inode: 2, Birth: -3, HeadLen: 4, Head: 5}.String())
	f.Add("1-2-3-4")
	f.Add("1-2-3-999-5")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := tail.ParseIdentity(s)
		if err == nil && id.String() != s {
			t.Errorf("%q was read as %q", s, id)
		}
		if strings.ContainsAny(id.String(), " \n") {
			t.Errorf("%q is not one token", id)
		}
	})
}
