package receiver_test

import (
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
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
			f.until(func() bool { return f.record(p).Floor > floor+5 }, "partition %d goes on", p)
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

// A planned move waits for its owner as long as that lives, however slow its last commit is: nothing is archived by two and set aside.
func TestLivingOwnerIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFleet(t, flickering, 1, nil)
	web, a := f.host(0), f.run("a")
	f.ship(web, 1)
	f.floor(1)
	slow := a.trap(0, "floor")
	f.ship(web, 1)
	slow.wait(t)
	b := f.run("b")
	f.until(func() bool {
		members, err := receiver.Members(t.Context(), f.js)
		return err == nil && len(members) == 2
	}, "the second receiver is a member")
	f.drain(a, true)
	f.until(func() bool { return f.wishes().Wishes[0].Owner == b.id }, "the second receiver shall own the partition")
	time.Sleep(2 * flickering)
	if r := f.record(0); r.Epoch != 1 || r.Owner != a.id {
		t.Errorf("while its owner lives and commits, the record became %+v", r)
	}
	f.ship(web, 1)
	slow.free()
	b.owns(0)
	f.ship(web, 1)
	f.exact()
	if r := f.record(0); r.Epoch != 2 || r.Epochs[1].Start < 2 || f.setAside(a) != 0 {
		t.Errorf("the record is %+v, and %d bytes were set aside; want a second epoch from behind the last commit, and none", r, f.setAside(a))
	}
}
