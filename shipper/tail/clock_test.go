package tail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// at sets the time a file was written last.
func at(t *testing.T, path string, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	must(t, os.Chtimes(path, then, then))
}

// The clock stepped back by a day while the agent was down: what was written since looks older than what was shipped.
func TestClockSteppedBackWhileDown(t *testing.T) {
	for _, packed := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "a.log")
		first := strings.Repeat("shipped before the step\n", 10)
		write(t, path, first)
		h := shipOnce(t, config(path))
		known := h.known()
		known[0].Number = 7 // the chain has forgotten others
		must(t, os.Rename(path, path+".2"))
		write(t, path+".1", "written after the step\n")
		at(t, path+".1", 24*time.Hour)
		if packed {
			must(t, packFile(path+".1"))
		}
		write(t, path, "and rotated\n")
		at(t, path, 23*time.Hour)
		tl := start(t, config(path), known...)
		want, got := "written after the step\nand rotated\n", ""
		for end := time.Now().Add(20 * time.Second); got != want && time.Now().Before(end); <-tl.Wake() {
			var b tail.Batch
			must(t, tl.Fill(&b, limits))
			got += string(b.Data)
			tl.Acked(&b)
		}
		if got != want {
			t.Errorf("packed %v: got %q, want %q", packed, got, want)
		}
	}
}

// The clock stepped back before a copy was made: it is older than what it copies, and a copy all the same.
func TestCopyThatIsOlderThanTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	text := strings.Repeat("a line that tells one file from another\n", 100)
	write(t, path+".1", text) // its birth is before that of the log
	write(t, path, text+"more\n")
	tl, h := start(t, config(path)), newHub(t)
	expect(t, tl, h, path, text+"more\n")
	write(t, path+".1", "more\n")
	must(t, os.Truncate(path, 0))
	write(t, path, "after the cut\n")
	expect(t, tl, h, path, text+"more\nafter the cut\n")
}

// Files from tomorrow are shipped, rotated and ended like others.
func TestFilesFromTomorrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one\nunterminated")
	at(t, path, -24*time.Hour)
	tl, h := start(t, config(path)), newHub(t)
	expect(t, tl, h, path, "one\n")
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	expect(t, tl, h, path, "one\nunterminatedtwo\n")
}
