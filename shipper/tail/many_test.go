package tail_test

import (
	"os"
	"path/filepath"
	"testing"
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
