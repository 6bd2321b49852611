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

// declares ships until the source has come as want, and fails the test unless exactly these ranges are declared missing.
func declares(t *testing.T, tl *tail.Tailer, h *hub, source, want string, miss ...tail.Missing) {
	t.Helper()
	pump(t, tl, h, func() bool { return len(h.all(source)) >= len(want) && len(h.miss) >= len(miss) })
	if got := h.all(source); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !slices.Equal(h.miss, miss) {
		t.Errorf("declared %+v, want %+v", h.miss, miss)
	}
}

// A declaration is as good as lost with the batch that was to carry it: it is made again.
func TestDeclarationThatWasLostInFlightIsMadeAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one\n")
	h := shipOnce(t, config(path))
	must(t, os.Remove(path))
	write(t, path, "two\n")
	tl := start(t, config(path), h.known()...)
	var b tail.Batch
	for len(b.Missing) == 0 {
		must(t, tl.Fill(&b, limits))
		<-tl.Wake()
	}
	must(t, tl.Recover(h.known()))
	declares(t, tl, h, path, "one\ntwo\n", tail.Missing{Source: path, Generation: 1, From: 4, To: -1, Reason: tail.ReasonVanished})
}

// While no batch may leave nothing is read, but what was seen and is cut meanwhile is known to be missing.
func TestBytesThatWereCutWhileNoBatchMayLeaveAreDeclared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	write(t, path, "two\nthree\n")
	behind(t, tl, len("two\nthree\n"))
	must(t, os.Truncate(path, 0))
	write(t, path, "four\n")
	declares(t, tl, h, path, "one\nfour\n", tail.Missing{Source: path, Generation: 1, From: 4, To: 14, Reason: tail.ReasonTruncated})
}

// Why bytes are missing is not forgotten when positions are asked for anew.
func TestReasonIsKeptThroughRecovery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	write(t, path, "two\nthree\n")
	behind(t, tl, len("two\nthree\n"))
	must(t, os.Truncate(path, 0))
	write(t, path, "four\n")
	behind(t, tl, len("two\nthree\nfour\n"))
	must(t, tl.Recover(h.known()))
	declares(t, tl, h, path, "one\nfour\n", tail.Missing{Source: path, Generation: 1, From: 4, To: 14, Reason: tail.ReasonTruncated})
}

// behind looks, with a batch that takes nothing, until so many bytes are seen that were not shipped.
func behind(t *testing.T, tl *tail.Tailer, bytes int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); tl.Stats().Behind != int64(bytes); <-tl.Wake() {
		must(t, tl.Fill(&tail.Batch{}, tail.Limits{}))
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes behind, want %d", tl.Stats().Behind, bytes)
		}
	}
}

// What was seen is missing for sure; whether the file has grown since the agent went away nobody knows.
func TestFileThatVanishedWhileTheAgentWasAwayMayHaveGrown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "one\n")
	h := shipOnce(t, config(path))
	known := h.known()
	known[0].Seen = 100
	must(t, os.Remove(path))
	write(t, path, "two\n")
	tl := start(t, config(path), known...)
	declares(
		t, tl, h, path, "one\ntwo\n",
		tail.Missing{Source: path, Generation: 1, From: 4, To: 100, Reason: tail.ReasonVanished},
		tail.Missing{Source: path, Generation: 1, From: 100, To: -1, Reason: tail.ReasonVanished},
	)
}

// What a late writer began to write is missing when it is cut.
func TestLateBytesThatWereCutAreDeclared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	expect(t, tl, h, path, "one\n")
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	expect(t, tl, h, path, "one\ntwo\n")
	write(t, path+".1", "late")
	behind(t, tl, len("late"))
	must(t, os.Truncate(path+".1", 0))
	write(t, path, "three\n")
	declares(t, tl, h, path, "one\ntwo\nthree\n", tail.Missing{Source: path, Generation: 1, From: 4, To: 8, Reason: tail.ReasonTruncated})
}

// A packed file that could not be read while it was made, and was read then, is not missing when it goes.
func TestWhatWasReadAfterAllIsNotMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	first := strings.Repeat("shipped before the rotation\n", 10)
	write(t, path, first)
	h := shipOnce(t, config(path))
	write(t, path, "unshipped\n")
	must(t, os.Rename(path, path+".2"))
	must(t, packFile(path+".2"))
	packed, err := os.ReadFile(path + ".2.gz")
	must(t, err)
	must(t, os.WriteFile(path+".2.gz", packed[:len(packed)/2], 0o644))
	write(t, path, "next\n")
	cfg := config(path)
	cfg.Patience = time.Minute // until then the first is sought
	tl := start(t, cfg, h.known()...)
	for range 3 {
		must(t, tl.Fill(&tail.Batch{}, tail.Limits{}))
		<-tl.Wake()
	}
	must(t, os.WriteFile(path+".2.gz", packed, 0o644))
	expect(t, tl, h, path, first+"unshipped\nnext\n")
	must(t, os.Remove(path+".2.gz"))
	must(t, os.Rename(path, path+".1"))
	write(t, path, "last\n")
	declares(t, tl, h, path, first+"unshipped\nnext\nlast\n")
}

// Where bytes were cut unread the generation has ended, though no successor was opened: what stands in the file after a restart is another.
func TestFileThatWasCutUnreadIsNotContinued(t *testing.T) {
	for name, header := range map[string]string{"nothing was read": "", "equal beginnings": strings.Repeat("# the same header\n", 100)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			tl, h := start(t, config(path)), newHub(t)
			write(t, path, header+"never completed")
			expect(t, tl, h, path, header)
			behind(t, tl, len("never completed"))
			must(t, os.Truncate(path, 0))
			pump(t, tl, h, func() bool { return len(h.miss) == 1 })
			must(t, tl.Close())
			write(t, path, header+"a line that is longer than what was never completed\n")
			tl = start(t, config(path), h.known()...)
			declares(t, tl, h, path, header+header+"a line that is longer than what was never completed\n", tail.Missing{
				Source: path, Generation: 1, From: int64(len(header)), To: int64(len(header + "never completed")), Reason: tail.ReasonTruncated,
			})
		})
	}
}

// When a log is cut its copy is looked for under any name that begins with the log's. What else has such a name is not the log's.
func TestAnotherLogIsNoCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path+"2", "another log\n")
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\nnever completed")
	expect(t, tl, h, path, "one\n")
	behind(t, tl, len("never completed"))
	must(t, os.Truncate(path, 0))
	write(t, path, "two\n")
	declares(t, tl, h, path, "one\ntwo\n", tail.Missing{Source: path, Generation: 1, From: 4, To: 19, Reason: tail.ReasonTruncated})
}

// What was cut before anything of it was shipped keeps its place behind older files when positions are asked for anew.
func TestCutFileKeepsItsPlaceThroughRecovery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	second := "two, which is long enough to be told from another by what stands in it\n"
	tl, h := start(t, config(path)), newHub(t)
	write(t, path, "one\n")
	behind(t, tl, len("one\n"))
	must(t, os.Rename(path, path+".1"))
	waitForClock(t, path)
	write(t, path, second)
	behind(t, tl, len("one\n"+second))
	must(t, os.Truncate(path, 0))
	for range 5 { // until the cut is noticed
		must(t, tl.Fill(&tail.Batch{}, tail.Limits{}))
		<-tl.Wake()
	}
	write(t, path+"-20260101", second) // the copy comes to light
	waitForClock(t, path)
	must(t, tl.Recover(nil))
	write(t, path, "three\n")
	expect(t, tl, h, path, "one\n"+second+"three\n")
}

// waitForClock waits until the file system's clock tells what comes from what was.
func waitForClock(t *testing.T, beside string) {
	t.Helper()
	var began time.Time
	for {
		must(t, os.WriteFile(beside+".probe", nil, 0o644))
		st, err := os.Stat(beside + ".probe")
		must(t, err)
		must(t, os.Remove(beside+".probe"))
		if began.IsZero() {
			began = st.ModTime()
		}
		if st.ModTime().After(began) {
			return
		}
	}
}
