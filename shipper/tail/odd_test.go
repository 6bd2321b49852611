package tail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// A directory that is named by a link.
func TestDirectoryNamedByALink(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/data", 0o755))
	write(t, dir+"/data/a.log", "a\n")
	must(t, os.Symlink("data", dir+"/logs"))
	h := shipOnce(t, config(dir+"/logs"))
	if got := h.sources(dir); got != "logs/a.log" {
		t.Fatalf("shipped %q", got)
	}
}

// Hold of a file that is named by a link.
func TestHoldThroughALink(t *testing.T) {
	for _, target := range []string{"real/a.log", "ABS"} {
		t.Run(target[:3], func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.MkdirAll(dir+"/real", 0o755))
			if target == "ABS" {
				target = dir + "/real/a.log"
			}
			path, real := dir+"/a.log", dir+"/real/a.log"
			must(t, os.Symlink(target, path))
			cfg := config(path)
			cfg.Hold, cfg.HoldDir = true, filepath.Join(dir, "state", "hold")
			tl, h := start(t, cfg), newHub(t)
			write(t, real, "one\n")
			expect(t, tl, h, path, "one\n")
			must(t, tl.Close())
			write(t, real, "two\n")
			must(t, os.Remove(real))
			write(t, real, "three\n")
			tl = start(t, cfg, h.known()...)
			pump(t, tl, h, func() bool { return strings.Contains(h.all(path), "three") })
			if got := h.all(path); got != "one\ntwo\nthree\n" {
				t.Fatalf("got %q, missing %+v", got, h.miss)
			}
		})
	}
}

// A report that is replaced by one of the same content.
func TestReportReplacedByAnEqualOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.log")
	cfg := config(path)
	tl, h := start(t, cfg), newHub(t)
	report := strings.Repeat("all is well here; ", 10) + "\n"
	other := strings.Repeat("something is odd; ", 10) + "\n"
	want := ""
	for i, text := range []string{report, other, report, other} {
		must(t, os.WriteFile(path+".tmp~", []byte(text), 0o644))
		must(t, os.Rename(path+".tmp~", path))
		want += text
		end := time.Now().Add(3 * time.Second)
		pump(t, tl, h, func() bool { return time.Now().After(end) || len(h.all(path)) >= len(want) })
		if got := h.all(path); got != want {
			t.Fatalf("run %d: got %d bytes, want %d, missing %+v", i, len(got), len(want), h.miss)
		}
		end = time.Now().Add(time.Second) // grace: the one before is let go
		pump(t, tl, h, func() bool { return time.Now().After(end) })
	}
}

// File and link to it are both named.
func TestIdleFileWithALinkToIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := dir + "/a.log"
	write(t, path, "one\n")
	must(t, os.Symlink(path, dir+"/z.log"))
	cfg := tail.DefaultConfig()
	cfg.Paths = []string{dir}
	tl, h := start(t, cfg), newHub(t)
	expect(t, tl, h, path, "one\n")
	end := time.Now().Add(3 * time.Second)
	pump(t, tl, h, func() bool { return time.Now().After(end) })
	begun := time.Now()
	write(t, path, "two\n")
	pump(t, tl, h, func() bool { return len(h.all(path)) >= 8 || time.Since(begun) > 10*time.Second })
	if took := time.Since(begun); took > 2*time.Second {
		t.Fatalf("took %v", took)
	}
}

// A rotated file is cut while late writers are awaited.
func TestRotatedFileThatIsCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.log")
	cfg := config(path)
	tl, h := start(t, cfg), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	expect(t, tl, h, path, "one\ntwo\n")
	must(t, os.Truncate(path+".1", 0))
	write(t, path+".1", "cut\n")
	pump(t, tl, h, func() bool { return strings.Contains(h.all(path), "cut\n") })
	write(t, path, "half a li")
	end := time.Now().Add(time.Second)
	pump(t, tl, h, func() bool { return time.Now().After(end) })
	if got := h.all(path); strings.Contains(got, "half") {
		t.Fatalf("the live log's line was split: %q, %d generations", got, len(h.gens[path]))
	}
}

// Directory that cannot be read for a moment, and a file in it that may not be read.
func TestLockedFileInABlindDirectory(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir() + "/d"
	must(t, os.Mkdir(dir, 0o755))
	path := dir + "/a.log"
	write(t, path, "secret\n")
	must(t, os.Chmod(path, 0))
	cfg := config(path)
	tl, h := start(t, cfg), newHub(t)
	wait := func(d time.Duration) {
		end := time.Now().Add(d)
		pump(t, tl, h, func() bool { return time.Now().After(end) })
	}
	wait(500 * time.Millisecond)
	must(t, os.Chmod(dir, 0o311))
	write(t, dir+"/other", "x")
	wait(2500 * time.Millisecond)
	must(t, os.Chmod(dir, 0o755))
	wait(2500 * time.Millisecond)
	must(t, os.Chmod(path, 0o644))
	wait(2500 * time.Millisecond)
	if len(h.miss) > 0 {
		t.Fatalf("declared %+v though the file is there and came: %q", h.miss, h.all(path))
	}
}

// A rotation that packs with xz, and deletes the oldest in the end.
func TestRotationIntoWhatCannotBeUnpacked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	wait := func(d time.Duration) {
		end := time.Now().Add(d)
		pump(t, tl, h, func() bool { return time.Now().After(end) })
	}
	write(t, path, strings.Repeat("one\n", 100))
	expect(t, tl, h, path, strings.Repeat("one\n", 100))
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	wait(1500 * time.Millisecond)
	write(t, path+".2.xz", "\xfd7zXZ\x00 packed "+strings.Repeat("x", 50)) // as xz leaves it
	must(t, os.Remove(path+".1"))
	write(t, path, "three\n")
	wait(1500 * time.Millisecond)
	must(t, os.Remove(path+".2.xz"))
	wait(2500 * time.Millisecond)
	if len(h.miss) > 0 {
		t.Fatalf("all came, %d bytes; declared %+v; stats %+v", len(h.all(path)), h.miss, tl.Stats())
	}
}
