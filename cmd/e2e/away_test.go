package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
)

// The agent starts while the hub is away, and is killed again and again; each time the log is rotated by deleting it. What it could link is shipped when
// the hub is there, with a state directory that knows the chain and with one that was wiped but for the links.
func TestHoldWhileTheHubIsAway(t *testing.T) {
	slow(t)
	for _, wiped := range []bool{false, true} {
		name := map[bool]string{false: "state kept", true: "state wiped"}[wiped]
		t.Run(name, func(t *testing.T) {
			s := startSite(t, options{agent: []string{"--hold"}})
			src := s.newSource("app.log")
			src.lines(100)
			s.arrived(src)
			s.agent.stop()
			s.hub.kill()
			if wiped {
				must(t, os.Remove(filepath.Join(s.stateDir, "checkpoint.db")))
			}
			for n := range 4 {
				src.lines(50)
				s.agent.start()
				until(t, "all is held", func() bool { return s.held() == n+1 })
				if n%2 == 0 {
					s.agent.kill()
					src.remove()
				} else {
					src.remove()
					s.agent.kill()
				}
			}
			src.lines(50)
			s.agent.start()
			until(t, "the newest is held", func() bool { return s.held() == 5 })
			s.hub.start()
			s.settle(nil, src)
		})
	}
}

// held is how many files the agent holds.
func (s *site) held() int {
	links, err := os.ReadDir(filepath.Join(s.stateDir, "hold"))
	if err != nil {
		return 0
	}
	return len(links)
}
