package e2e_test

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// T6: the state directory is lost, restored or cloned at random, with rotations while the agent is down.
func TestChaosStateLost(t *testing.T) {
	slow(t)
	for name, lookback := range map[string]string{"purged": "1s", "kept": "24h"} {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			s := startSite(t, options{receiver: []string{"--lookback", lookback}})
			sources := []*source{s.newSource("renamed.log"), s.newSource("late.log"), s.newSource("copied.log"), s.newSource("idle.log")}
			sources[3].lines(50)
			for range length(8) {
				s.loseState(r, sources[:3])
				s.arrived(sources...)
			}
			s.settle(nil, sources...)
		})
	}
}

// loseState ends the agent, rotates, does something to its state and starts it again.
func (s *site) loseState(r *rand.Rand, sources []*source) {
	for _, src := range sources {
		src.lines(1 + r.IntN(300))
	}
	wait(r, 300*time.Millisecond)
	if r.IntN(2) == 0 {
		s.agent.kill()
	} else {
		s.agent.ready()
		s.agent.stop()
	}
	rotations := r.IntN(3)
	for range rotations {
		for i, rotate := range []func(*source, *rand.Rand){byRename, byLateRename, byCopy} {
			sources[i].lines(1 + r.IntN(100))
			rotate(sources[i], r)
			sources[i].lines(1 + r.IntN(100))
		}
	}
	backup := s.path("backup")
	what := r.IntN(4)
	switch what {
	case 0:
		must(s.t, os.RemoveAll(s.stateDir))
	case 1:
		if _, err := os.Stat(backup); err == nil {
			must(s.t, os.RemoveAll(s.stateDir))
			must(s.t, os.CopyFS(s.stateDir, os.DirFS(backup)))
		}
	case 2:
		must(s.t, os.RemoveAll(backup))
		must(s.t, os.CopyFS(backup, os.DirFS(s.stateDir)))
	}
	s.t.Logf("%d rotations, state: %s", rotations, []string{"wiped", "restored", "saved", "kept"}[what])
	s.agent.start()
}

// Inode numbers are reused at once: a new file with an old one's number is not taken for it, whatever the agent remembers.
func TestChaosInodeReuse(t *testing.T) {
	slow(t)
	r := random(t)
	d := newDisk(t, "64m") // tmpfs and ext4 differ in how soon a number comes again
	for name, dir := range map[string]string{"tmpfs": d.dir, "disk": ""} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, options{paths: []string{}})
			if dir == "" {
				dir = s.path("logs")
			}
			s.agent.args = append(s.agent.args, dir+"/*.log")
			s.hub.start().ready()
			s.receiver.start().ready()
			s.agent.start().ready()
			src := s.sourceOf(host, dir, "app.log")
			var unseen []gap
			for range length(4) {
				before := src.size()
				src.lines(1 + r.IntN(100))
				s.arrived(src)
				s.agent.kill()
				// Nobody can know that nothing was written to it after the agent had gone.
				unseen = append(unseen, gap{src.path, uint64(src.generation), src.size() - before, -1, "vanished"})
				src.remove()
				if r.IntN(2) == 0 {
					must(t, os.RemoveAll(s.stateDir))
				}
				s.agent.start()
			}
			src.lines(10)
			s.settle(unseen, src)
		})
	}
}

// An agent whose host has a thousand idle logs finds them again without its state.
func TestChaosStateOfManySources(t *testing.T) {
	slow(t)
	s := startSite(t, options{})
	var sources []*source
	for i := range 300 {
		src := s.newSource("idle" + string(rune('a'+i%26)) + time.Duration(i).String() + ".log")
		src.lines(1 + i%7)
		sources = append(sources, src)
	}
	s.arrived(sources...)
	for range 2 {
		s.agent.kill()
		must(t, os.RemoveAll(s.stateDir))
		s.agent.start().ready()
		sources[0].lines(10)
		s.arrived(sources[0])
	}
	s.settle(nil, sources...)
}
