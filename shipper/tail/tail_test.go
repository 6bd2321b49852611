package tail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

var limits = tail.Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}

// pump ships what is there until ok, or fails.
func pump(t *testing.T, tl *tail.Tailer, h *hub, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var b tail.Batch
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not shipped in time; stats %+v", tl.Stats())
		}
		b.Reset()
		if err := tl.Fill(&b, limits); err != nil {
			t.Fatal(err)
		}
		if b.Empty() {
			<-tl.Wake()
			continue
		}
		h.take(&b)
		tl.Acked(&b)
	}
}

func config(paths ...string) tail.Config {
	cfg := tail.DefaultConfig()
	cfg.Paths = paths
	cfg.Sweep = 20 * time.Millisecond
	cfg.Idle = 20 * time.Millisecond
	cfg.Find = 20 * time.Millisecond
	cfg.Patience = 200 * time.Millisecond
	cfg.Grace = 500 * time.Millisecond
	return cfg
}

func start(t *testing.T, cfg tail.Config, known ...tail.Generation) *tail.Tailer {
	t.Helper()
	tl, err := tail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tl.Close() })
	if err := tl.Recover(known); err != nil {
		t.Fatal(err)
	}
	return tl
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect ships until the source has come as want.
func expect(t *testing.T, tl *tail.Tailer, h *hub, source, want string) {
	t.Helper()
	pump(t, tl, h, func() bool { return len(h.all(source)) >= len(want) })
	if got := h.all(source); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestAppendedLinesArriveAndAPartialOneWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\ntwo\nthr")
	expect(t, tl, h, path, "one\ntwo\n")
	write(t, path, "ee\n")
	expect(t, tl, h, path, "one\ntwo\nthree\n")
}

func TestRenamedFileIsReadToItsEndBeforeItsSuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	write(t, path, "two\n")
	must(t, os.Rename(path, path+".1"))
	write(t, path, "three\n")
	write(t, path+".1", "late\n")
	expect(t, tl, h, path, "one\ntwo\nlate\nthree\n")
	if n := len(h.gens[path]); n != 2 {
		t.Fatalf("%d generations, want 2", n)
	}
}

func TestTruncatedFileIsTheNextGeneration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\ntwo\n")
	expect(t, tl, h, path, "one\ntwo\n")
	must(t, os.Truncate(path, 0))
	write(t, path, "a longer line than before\n")
	expect(t, tl, h, path, "one\ntwo\na longer line than before\n")
}

func TestRecoveryGoesOnAtThePosition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	must(t, tl.Close())
	write(t, path, "two\n")
	must(t, os.Rename(path, path+".1"))
	write(t, path, "three\n")
	tl = start(t, config(path), h.known()...)
	expect(t, tl, h, path, "one\ntwo\nthree\n")
}

func TestOnceShipsTheUnterminatedLineAndIsDone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	write(t, path, "one\ntwo")
	write(t, path+".1", "zero\n")
	cfg := config(dir)
	cfg.Once = true
	tl, h := start(t, cfg), newHub(t)
	pump(t, tl, h, tl.Done)
	if got, want := h.all(path), "zero\none\ntwo"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestBinaryFileInADirectoryIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.bin"), "\x00\x01\x02")
	write(t, filepath.Join(dir, "b.log"), "one\n")
	cfg := config(dir)
	cfg.Once = true
	tl, h := start(t, cfg), newHub(t)
	pump(t, tl, h, tl.Done)
	if got := h.all(filepath.Join(dir, "a.bin")) + h.all(filepath.Join(dir, "b.log")); got != "one\n" {
		t.Fatalf("got %q, want the text file only", got)
	}
}

func TestOnceIsDoneWithOldEmptyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "empty.log")
	write(t, path, "")
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(path, long, long))
	cfg := config(dir)
	cfg.Once = true
	tl, h := start(t, cfg), newHub(t)
	pump(t, tl, h, tl.Done)
}

// A directory gave way to a file of its name: what was tailed in it is gone, which is no reason to wait.
func TestOnceIsDoneWhenADirectoryBecameAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "a.log")
	must(t, os.Mkdir(filepath.Dir(path), 0o755))
	write(t, path, "one\n")
	cfg := config(dir)
	cfg.Once = true
	tl, h := start(t, cfg), newHub(t)
	pump(t, tl, h, tl.Done)
	must(t, tl.Close())
	must(t, os.RemoveAll(filepath.Dir(path)))
	write(t, filepath.Dir(path), "now a file\n")
	tl = start(t, cfg, h.known()...)
	pump(t, tl, h, tl.Done)
	if got := h.all(path) + h.all(filepath.Dir(path)); got != "one\nnow a file\n" {
		t.Fatalf("got %q", got)
	}
}

// A generation that was read and never acknowledged is known by its first bytes alone. When it is cut while the agent is down, its copy continues it.
func TestCopyContinuesWhatWasNeverAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	text := strings.Repeat("a line of the first file\n", 40)
	write(t, path, text)
	tl, h := start(t, config(path)), newHub(t)
	var b tail.Batch
	for b.Empty() {
		must(t, tl.Fill(&b, limits))
	}
	known := []tail.Generation{{
		Source: path, Number: b.Opens[0].Generation, Identity: b.Opens[0].Identity, Length: -1, Seen: int64(len(text)), Path: path, Unopened: true,
	}}
	must(t, tl.Close())
	write(t, path+".1", text) // a copy
	must(t, os.Truncate(path, 0))
	write(t, path, "another\n")
	tl = start(t, config(path), known...)
	expect(t, tl, h, path, text+"another\n")
	if h.missing() != 0 || len(h.gens[path]) != 2 {
		t.Fatalf("%d bytes are missing of %d generations, want none of two", h.missing(), len(h.gens[path]))
	}
}
