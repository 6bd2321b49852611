package e2e_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

func proxy(s *site, r *rand.Rand) *clustertest.Proxy {
	if r.IntN(2) == 0 {
		return s.leaf
	}
	return s.client
}

var cuts = []chaos{
	{"cut", func(s *site, r *rand.Rand) { proxy(s, r).Cut() }},
	{"cut and heal", func(s *site, r *rand.Rand) {
		p := proxy(s, r)
		p.Cut()
		p.Heal()
	}},
	{"black hole", func(s *site, r *rand.Rand) { proxy(s, r).Blackhole() }},
	{"black hole for what is open", func(s *site, r *rand.Rand) { blackhole(proxy(s, r)) }},
	{"heal", func(s *site, r *rand.Rand) { proxy(s, r).Heal() }},
	{"release", func(s *site, r *rand.Rand) {
		p := proxy(s, r)
		p.Heal()
		p.Release()
	}},
	{"delay", func(s *site, r *rand.Rand) { proxy(s, r).Delay(upTo(r, 30*time.Millisecond)) }},
	{"no delay", func(s *site, r *rand.Rand) { proxy(s, r).Delay(0) }},
}

// Links are cut, held and released at random.
func TestChaosCuts(t *testing.T) {
	slow(t)
	disturb(t, cuts, 40)
}

// Links and processes at once: what a process sent before it was killed may arrive after its successor's words.
func TestChaosCutsAndKills(t *testing.T) {
	slow(t)
	disturb(t, append(append([]chaos{}, kills...), cuts...), 60)
}

func disturb(t *testing.T, schedule []chaos, steps int) {
	r := random(t)
	s := startSite(t, options{receiver: []string{"--segment-size", "256KiB"}})
	start := time.Now()
	sources, stop := s.writers(r)
	for range length(steps) {
		wait(r, 500*time.Millisecond)
		s.alive()
		c := schedule[r.IntN(len(schedule))]
		t.Logf("%8s %s", time.Since(start).Round(time.Millisecond), c.name)
		c.do(s, r)
	}
	stop()
	s.leaf.Delay(0)
	s.client.Delay(0)
	s.heal()
	s.figures(start, sources)
	s.settle(nil, sources...)
}

// T1: a batch is swallowed, its agent killed, more is written, and the batch comes out of the hole at the worst moments.
func TestChaosLateBatchOfAKilledAgent(t *testing.T) {
	slow(t)
	for _, release := range []string{"before hello", "at a random moment", "after the new batch"} {
		t.Run(release, func(t *testing.T) {
			r := random(t)
			s := startSite(t, options{})
			src := s.newSource("app.log")
			src.lines(100)
			s.arrived(src)
			s.leaf.Blackhole()
			src.lines(100)
			until(t, "the batch is in the hole", func() bool { return s.leaf.Held() > 1000 })
			s.agent.kill()
			src.lines(50)
			s.leaf.Heal()
			if release == "before hello" {
				s.leaf.Release()
			}
			s.agent.start()
			switch release {
			case "at a random moment": // hello is said and the new batch sent in these
				wait(r, 300*time.Millisecond)
			case "after the new batch":
				s.arrived(src)
			}
			s.leaf.Release()
			src.lines(50)
			s.settle(nil, src)
		})
	}
}

// T5: the first batch of all is swallowed, the chain goes on without it, everything is archived and purged: it must not be taken when it comes out.
func TestChaosFirstBatchAfterPurge(t *testing.T) {
	slow(t)
	s := newSite(t, options{})
	src := s.newSource("app.log")
	s.hub.start().ready()
	s.receiver.start().ready()
	s.agent.start().ready()
	s.leaf.Blackhole()
	src.lines(100)
	until(t, "the batch is in the hole", func() bool { return s.leaf.Held() > 1000 })
	s.agent.kill()
	s.leaf.Heal()
	s.agent.start().ready()
	for range 5 {
		src.lines(100)
		s.arrived(src)
	}
	v := s.view()
	until(t, "all but the head is purged", func() bool {
		src.lines(1)
		_, info := v.stream(v.partition())
		return info.State.FirstSeq > 3
	})
	s.leaf.Release()
	src.lines(100)
	s.settle(nil, src)
}

// A process that was frozen for longer than every time-out goes on where it was.
func TestChaosFreezes(t *testing.T) {
	slow(t)
	for i, name := range []string{"agent", "hub", "receiver"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			r := random(t)
			s := startSite(t, options{})
			sources, stop := s.writers(r)
			for range length(1) {
				time.Sleep(time.Second)
				s.roles()[i].freeze()
				time.Sleep(13 * time.Second)
				s.roles()[i].thaw()
			}
			for range length(5) {
				wait(r, time.Second)
				s.roles()[i].freeze()
				wait(r, 2*time.Second)
				s.roles()[i].thaw()
			}
			stop()
			s.settle(nil, sources...)
		})
	}
}
