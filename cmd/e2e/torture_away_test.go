package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The hub stands still until the agent has more in hand than it reads ahead. Rotation that deletes goes on meanwhile: what the agent could
// open is shipped when the hub is back.
func TestTortureWhileTheHubIsAway(t *testing.T) {
	slow(t)
	s := startSite(t, options{})
	src := s.newSource("app.log")
	src.lines(10)
	s.arrived(src)
	s.hub.freeze()
	for range 8 {
		src.lines(5000)
	}
	until(t, "the agent reads no more", func() bool { return s.agent.readsNoMore() })
	for gone := 1; gone <= 3; gone++ {
		src.remove()
		src.lines(100)
		until(t, "the agent holds what was deleted", func() bool {
			return len(s.agent.open(" (deleted)")) == gone && len(s.agent.open(src.path)) == gone+1
		})
	}
	s.hub.thaw()
	s.arrived(src)
	s.settle(nil, src)
}

// open lists what the process has open whose name contains the text.
func (r *role) open(text string) []string {
	r.t.Helper()
	var names []string
	fds, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(r.proc.PID()), "fd", "*"))
	must(r.t, err)
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.Contains(name, text) {
			names = append(names, name)
		}
	}
	return names
}

// readsNoMore reports whether the process has read nothing for a while.
func (r *role) readsNoMore() bool {
	before := r.bytesRead()
	for range 20 {
		time.Sleep(20 * time.Millisecond)
		if r.bytesRead()-before > 1<<10 {
			return false
		}
	}
	return true
}

func (r *role) bytesRead() int {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.proc.PID()), "io"))
	must(r.t, err)
	text, _, _ := strings.Cut(strings.TrimPrefix(string(data), "rchar: "), "\n")
	n, err := strconv.Atoi(text)
	must(r.t, err)
	return n
}
