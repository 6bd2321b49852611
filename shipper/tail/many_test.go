package tail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/shipper/tail"
)

// A checkpoint may be older than what the chain has forgotten by now. To have read there of a file is not to have seen it: nothing of that is missing.
func TestWhatIsOnlyRememberedIsNotMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one\n")
	tl, h := start(t, config(path)), newHub(t)
	expect(t, tl, h, path, "one\n")
	old := h.known()
	old[0].Seen = 8
	write(t, path, "more\n")
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	expect(t, tl, h, path, "one\nmore\ntwo\n")
	must(t, tl.Close())
	must(t, os.Remove(path+".1"))

	tl = await(t, config(path), old...)
	tend(t, tl, "the second is open", opened(tl, 1))
	must(t, tl.Recover(h.known()[1:])) // the table has forgotten the first
	must(t, os.Rename(path, path+".1"))
	write(t, path, "three\n")
	expectGenerations(t, tl, h, path, "one\nmore\n", "two\n", "three\n")
}

// The program went on with the old file for a while when the next was there already, as after any rotation that makes the new file itself. The chain has forgotten the
// old one since.
func TestForgottenFileThatWasWrittenAfterTheNextWasMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	write(t, path+".1", "late\n")
	pump(t, tl, h, func() bool { return len(h.contents(path)) == 2 && h.contents(path)[0] == "one\nlate\n" })
	must(t, os.Rename(path+".1", path+".2"))
	must(t, os.Rename(path, path+".1"))
	write(t, path+".1", "late\n")
	write(t, path, "three\n")
	forgotten(t, tl, h, path, "one\nlate\n", "two\nlate\n", "three\n")
}

// A log that is copied and cut is one file for ever: its birth tells nothing of the copies.
func TestForgottenCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	var want []string
	for i := range 4 {
		text := strings.Repeat(strconv.Itoa(i), 100+i) + "\n"
		want = append(want, text)
		write(t, path, text)
		expect(t, tl, h, path, strings.Join(want, ""))
		for n := i; n > 0; n-- {
			must(t, os.Rename(fmt.Sprintf("%s.%d", path, n), fmt.Sprintf("%s.%d", path, n+1)))
		}
		write(t, path+".1", text)
		must(t, os.Truncate(path, 0))
	}
	want = append(want, "the last\n")
	write(t, path, "the last\n")
	forgotten(t, tl, h, path, want...)
}

// forgotten lets all come, and a tailer begin anew that knows no more than the last two generations. Nothing is shipped again.
func forgotten(t *testing.T, tl *tail.Tailer, h *hub, path string, want ...string) {
	t.Helper()
	expectGenerations(t, tl, h, path, want...)
	must(t, tl.Close())
	tl = start(t, config(path), h.known()[len(want)-2:]...)
	write(t, path, "more\n")
	want[len(want)-1] += "more\n"
	expectGenerations(t, tl, h, path, want...)
	must(t, os.Rename(path, path+".0"))
	write(t, path, "end\n")
	expectGenerations(t, tl, h, path, append(want, "end\n")...)
}

// What stands nowhere any more need not be remembered, but for the newest; what stands is.
func TestGenerationsDepart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	var want string
	rotate := func(i int) {
		text := fmt.Sprintf("line %d of a log that is rotated again and again\n", i)
		want += text
		write(t, path, text)
		expect(t, tl, h, path, want)
		h.remember(tl.Known())
		must(t, os.Rename(path, fmt.Sprintf("%s-20260101-%03d", path, i)))
	}
	for i := range 100 {
		rotate(i)
	}
	for _, gone := range tl.Departed() {
		t.Errorf("departed up to %d, all stand", gone.Generation)
	}
	for i := range 50 {
		if i != 20 {
			must(t, os.Remove(fmt.Sprintf("%s-20260101-%03d", path, i)))
		}
	}
	must(t, tl.Close())
	tl = start(t, config(path), h.recovered(true)...)
	var last uint64
	for i := 100; last != 20; i++ {
		rotate(i)
		for _, gone := range tl.Departed() {
			last = gone.Generation
		}
		if i > 200 || last > 20 {
			t.Fatalf("departed up to %d, the first that stands is 21", last)
		}
	}
}
