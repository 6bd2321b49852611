package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// feed is a program that writes to a pipe, which outlives the agent that reads it.
type feed struct {
	t       testing.TB
	pipe    *os.File
	spool   string // path
	fed     bytes.Buffer
	written int // lines
}

// feedAgent lets the site's agent read from a pipe.
func (s *site) feedAgent(name string) *feed {
	s.t.Helper()
	path := s.path("pipe")
	must(s.t, syscall.Mkfifo(path, 0o600))
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // so that neither end closes it
	must(s.t, err)
	s.t.Cleanup(func() { pipe.Close() })
	s.agent.user = []string{"sh", "-c", `exec "$@" <` + path, "sh"}
	return &feed{t: s.t, pipe: pipe, spool: filepath.Join(s.stateDir, "stdin", name)}
}

// lines writes as many as the agent takes.
func (f *feed) lines(n int) {
	f.t.Helper()
	var text bytes.Buffer
	for range n {
		f.written++
		fmt.Fprintf(&text, "%07d a line of a program that writes to a pipe\n", f.written)
	}
	f.fed.Write(text.Bytes())
	must(f.t, f.pipe.SetWriteDeadline(time.Now().Add(patience)))
	_, err := f.pipe.Write(text.Bytes())
	must(f.t, err)
}

// spooled waits until the agent has written what was fed: what is in a pipe's reader when that is killed stands nowhere else.
func (f *feed) spooled(s *site) {
	f.t.Helper()
	last := fmt.Appendf(nil, "%07d a line", f.written)
	until(f.t, "the spool holds what was fed", func() bool {
		for _, name := range f.spools() {
			if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, last) {
				return true
			}
		}
		return bytes.Contains(s.archivedFeed(f), last)
	})
}

// spools are its files in the state directory.
func (f *feed) spools() []string {
	names, err := filepath.Glob(f.spool + "*")
	must(f.t, err)
	return names
}

// archivedFeed is what the archive holds of it.
func (s *site) archivedFeed(f *feed) []byte {
	s.t.Helper()
	in, err := archived(s.archiveDir, &source{host: host, path: f.spool})
	must(s.t, err)
	defer in.Close()
	data, err := io.ReadAll(in)
	must(s.t, err)
	return data
}

// Standard input needs bounded room in the state directory, is one source, and is shipped once whatever is killed.
func TestChaosStdin(t *testing.T) {
	slow(t)
	r := random(t)
	s := newSite(t, options{agent: []string{"--stdin", "app", "--stdin-size", "64KiB"}, receiver: []string{"--compress", "none"}, paths: []string{}})
	f := s.feedAgent("app")
	s.hub.start().ready()
	s.receiver.start().ready()
	s.agent.start().ready()
	for range length(15) {
		for range 1 + r.IntN(8) {
			f.lines(1 + r.IntN(1500))
		}
		f.spooled(s)
		wait(r, 300*time.Millisecond)
		switch r.IntN(3) {
		case 0:
			s.hub.restart()
			f.lines(3000)
			f.spooled(s)
			s.agent.restart()
		default:
			s.agent.restart()
		}
	}
	f.lines(10)
	f.spooled(s)
	until(t, "all of it is archived", func() bool { return len(s.archivedFeed(f)) >= f.fed.Len() })
	if got := s.archivedFeed(f); !bytes.Equal(got, f.fed.Bytes()) {
		t.Errorf("the archive holds %d bytes, %d were fed, or they differ", len(got), f.fed.Len())
	}
	until(t, "what is shipped is deleted", func() bool { return len(f.spools()) <= 2 })
	s.agent.stop()
	s.receiver.stop()
	if all, err := list(s.archiveDir); err != nil || len(all) != 1 {
		t.Errorf("the archive holds more than one source: %v, %v", all, err)
	}
	s.ledger(nil)
	s.invariants()
}
