package e2e_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Three receivers start at once and share the partitions. One is killed: the others archive what it owned. It comes back and gets its share again.
func TestFleetTakesOver(t *testing.T) {
	c := newCrew(t)
	w := c.watch()
	for range 3 {
		c.join(1).start()
	}
	c.ship(20)
	stop := c.writeAll(rand.New(rand.NewPCG(1, 1)))
	c.rested(w)
	victim := c.members[0]
	floors := map[int]uint64{} // of the partitions of the victim that hosts write to
	for _, src := range c.sources {
		p := wire.Partition(src.host, partitions)
		if r := w.record(p); r.Owner == victim.id() {
			floors[p] = 0
		}
	}
	victim.kill()
	killed := time.Now()
	w.note(victim.id(), false)
	for p := range floors {
		floors[p] = w.record(p).Floor
	}
	until(t, "others archive what the killed one owned", func() bool {
		for p, floor := range floors {
			if r := w.record(p); r.Owner != victim.id() && r.Floor > floor {
				t.Logf("partition %d is archived by another after %v", p, time.Since(killed).Round(time.Millisecond))
				delete(floors, p)
			}
		}
		return len(floors) == 0
	})
	if took := time.Since(killed); took > standstill {
		t.Errorf("the take-over lasted %v, want less than %v", took, standstill)
	}
	victim.start()
	c.rested(w)
	stop()
	c.finish(w)
}

// writeAll lets every log grow and rotate until the returned function is called.
func (c *crew) writeAll(r *rand.Rand) (stop func()) {
	var stops []func()
	for i, src := range c.sources {
		h := habit{lines: 40, pause: 500 * time.Millisecond, every: 6 * time.Second, rotate: byRename}
		if i%2 == 1 {
			h.rotate = byLateRename
		}
		stops = append(stops, src.keepWriting(r.Uint64(), h))
	}
	stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	c.t.Cleanup(stop)
	return stop
}

// finish brings everything to rest, with all archives in the hands of a receiver, ends all cleanly and checks the bytes.
func (c *crew) finish(w *watch) {
	c.t.Helper()
	v := c.view()
	c.shipped(v)
	v.nc.Close()
	c.rested(w)
	c.end()
	for _, m := range c.running() {
		m.stop()
	}
	w.stop()
	if c.t.Failed() {
		c.t.FailNow()
	}
	c.exact()
	c.stopHub()
}
