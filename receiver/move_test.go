package receiver_test

import (
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Receivers join, are drained, come back and end: the partitions move each time, and nobody notices but in a pause.
func TestPlannedMoves(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2*time.Second, 4, nil)
	for p := range f.parts {
		f.host(p)
	}
	a := f.run("a")
	f.balanced(a)
	stop := f.flow(5 * time.Millisecond)
	moved := func(what string, change func()) {
		t.Helper()
		begun := time.Now()
		change()
		took := time.Since(begun)
		worst := time.Duration(0)
		for p := range f.parts {
			floor := f.record(p).Floor
			f.until(func() bool { return f.record(p).Floor > floor+20 }, "partition %d goes on", p)
			worst = max(worst, f.history.longestPause(wire.RecordKey(1, p), begun))
		}
		t.Logf("%s: moved within %v, longest pause of a partition %v", what, took.Round(time.Millisecond), worst.Round(time.Millisecond))
		if worst > generous {
			t.Errorf("%s: a partition paused for %v", what, worst)
		}
	}
	var b, c *node
	moved("a second receiver joins", func() {
		b = f.run("b")
		f.balanced(a, b)
	})
	moved("a third receiver joins", func() {
		c = f.run("c")
		f.balanced(a, b, c)
	})
	moved("the second is drained", func() {
		f.drain(b, true)
		f.balanced(a, c)
	})
	moved("the second is undrained", func() {
		f.drain(b, false)
		f.balanced(a, b, c)
	})
	moved("the third ends", func() {
		c.stop()
		f.balanced(a, b)
	})
	moved("the first ends, who coordinates", func() {
		a.stop()
		f.balanced(b)
	})
	stop()
	f.exact()
	for p := range f.parts {
		r := f.record(p)
		t.Logf("partition %d: %d epochs", p, len(r.Epochs))
	}
	for _, n := range f.nodes {
		if size := f.setAside(n); size != 0 {
			t.Errorf("planned moves set %d bytes aside at %s", size, n.name)
		}
	}
}
