package e2e_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// chaos does something bad to a site and leaves it so; the schedule mends things at random, too.
type chaos struct {
	name string
	do   func(*site, *rand.Rand)
}

var kills = []chaos{
	{"kill agent", func(s *site, _ *rand.Rand) { s.agent.restart() }},
	{"kill hub", func(s *site, _ *rand.Rand) { s.hub.restart() }},
	{"kill receiver", func(s *site, _ *rand.Rand) { s.receiver.restart() }},
	{"kill all", func(s *site, r *rand.Rand) {
		for _, i := range r.Perm(3) {
			s.roles()[i].kill()
		}
		for _, i := range r.Perm(3) {
			s.roles()[i].start()
		}
	}},
}

// writers begins logs with the habits that lose lines elsewhere.
func (s *site) writers(r *rand.Rand) (all []*source, stop func()) {
	habits := map[string]habit{
		"renamed.log": {lines: 200, pause: 30 * time.Millisecond, every: 2 * time.Second, rotate: byRename},
		"late.log":    {lines: 50, pause: 20 * time.Millisecond, every: 3 * time.Second, rotate: byLateRename},
		"copied.log":  {lines: 50, pause: 20 * time.Millisecond, every: 3 * time.Second, rotate: byCopy},
		"steady.log":  {lines: 2, pause: 2 * time.Millisecond},
	}
	var stops []func()
	for _, name := range []string{"renamed.log", "late.log", "copied.log", "steady.log"} {
		src := s.newSource(name)
		all = append(all, src)
		stops = append(stops, src.keepWriting(r.Uint64(), habits[name]))
	}
	stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	s.t.Cleanup(stop)
	return all, stop
}

// figures says what a chaos run went through.
func (s *site) figures(start time.Time, sources []*source) {
	var bytes int64
	generations := 0
	for _, src := range sources {
		bytes += src.size()
		generations += src.generation
	}
	s.t.Logf("%d bytes in %d generations, kills: agent %d, hub %d, receiver %d, in %s",
		bytes, generations, s.agent.kills, s.hub.kills, s.receiver.kills, time.Since(start).Round(time.Millisecond))
}

// Every process is killed at random moments, under load and rotation, alone and all at once.
func TestChaosKills(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{receiver: []string{"--segment-size", "256KiB"}})
	start := time.Now()
	sources, stop := s.writers(r)
	wanted := length(30)
	for min(s.agent.kills, s.hub.kills, s.receiver.kills) < wanted {
		wait(r, 700*time.Millisecond)
		kills[r.IntN(len(kills))].do(s, r)
	}
	stop()
	s.figures(start, sources)
	s.settle(nil, sources...)
}

// The same on one role alone: with the others well, more of its work is in flight when it dies.
func TestChaosKillsOfOneRole(t *testing.T) {
	slow(t)
	for i, name := range []string{"agent", "hub", "receiver"} {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			s := startSite(t, options{receiver: []string{"--segment-size", "64KiB"}})
			start := time.Now()
			sources, stop := s.writers(r)
			for range length(6) {
				wait(r, time.Second)
				s.roles()[i].restart()
			}
			stop()
			s.figures(start, sources)
			s.settle(nil, sources...)
		})
	}
}

// kill -9 while a process starts is the harshest: recovery itself is interrupted.
func TestChaosKillsDuringStart(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{})
	sources, stop := s.writers(r)
	for i := range length(12) {
		role := s.roles()[i%3]
		for range 3 {
			wait(r, 150*time.Millisecond)
			role.restart()
		}
	}
	stop()
	s.settle(nil, sources...)
}

// One file, three processes, no faults: what the other tests stand on.
func TestShipsOneFile(t *testing.T) {
	s := startSite(t, options{})
	src := s.newSource("app.log")
	for range 10 {
		src.lines(100)
	}
	src.rename(0)
	src.lines(100)
	s.settle(nil, src)
}

// The clean end of each process is clean at any moment: SIGTERM drains and exits 0.
func TestChaosStopsAndStarts(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{})
	sources, stop := s.writers(r)
	for i := range length(6) {
		wait(r, time.Second)
		role := s.roles()[i%3]
		role.ready()
		role.stop()
		role.start()
	}
	stop()
	s.settle(nil, sources...)
}

// The order in which the processes are started does not matter, nor does a restart of the hub before the others are up.
func TestStartsInAnyOrder(t *testing.T) {
	s := newSite(t, options{})
	src := s.newSource("app.log")
	src.lines(100)
	s.hub.start().ready()
	s.hub.stop()
	s.agent.start()
	s.receiver.start()
	until(t, "the receiver waits for the hub", func() bool { s.alive(); return s.receiver.logged("hub is not reached") })
	s.hub.start()
	s.settle(nil, src)
}
