package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// The hub stands still until the agent has more in hand than it reads ahead. What it has seen behind that is cut in place: the archive has what
// was read, and the ledger the rest, to the byte.
func TestTortureCutWhileTheHubIsAway(t *testing.T) {
	slow(t)
	s := startSite(t, options{agent: []string{"--http-listen", "127.0.0.1:0"}})
	path := s.path("logs/app.log")
	before := []byte("the first line\n")
	must(t, os.WriteFile(path, before, 0o644))
	came := func() []byte { return s.readArchive(t, host, path) }
	until(t, "the first line has come", func() bool { return bytes.Equal(came(), before) })
	s.hub.freeze()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	for i := 0; !s.agent.readsNoMore() || int64(len(before)) < 16<<20; i++ {
		more := bytes.Repeat(fmt.Appendf(nil, "line %09d of many that nobody takes\n", i), 1<<20/40)
		_, err := f.Write(more)
		must(t, err)
		before = append(before, more...)
	}
	until(t, "the agent has seen all of it", func() bool { return s.agent.behind() == int64(len(before)-len("the first line\n")) })
	must(t, os.Truncate(path, 0))
	after := []byte("the last line\n")
	_, err = f.Write(after)
	must(t, err)
	s.hub.thaw()
	until(t, "the last line has come", func() bool { return bytes.HasSuffix(came(), after) })
	s.agent.stop()
	s.receiver.stop()
	got := bytes.TrimSuffix(came(), after)
	if !bytes.HasPrefix(before, got) || len(got) == len(before) {
		t.Errorf("%d bytes came of the first file, want a part of %d", len(got), len(before))
	}
	s.ledger([]gap{{source: path, generation: 1, from: int64(len(got)), to: int64(len(before)), reason: "truncated"}})
	s.invariants()
	s.hub.stop()
}
