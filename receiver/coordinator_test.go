package receiver_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/assign"
)

// generous is far more than a partition may be without an owner: the machine that runs the test may be slow.
const generous = 20 * time.Second

// A coordinator freezes, and the wishes that it was about to write arrive when another has long been elected: they are refused, and do no harm.
func TestFrozenCoordinator(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the end of several leases")
	}
	f := newFleet(t, flickering, 3, nil)
	for p := range f.parts {
		f.host(p)
	}
	a := f.run("a")
	f.balanced(a)
	b, c := f.run("b"), f.run("c")
	f.balanced(a, b, c)
	stop := f.flow(5 * time.Millisecond)
	begun := time.Now()
	frozen := a.trap(-1, "wish")
	f.drain(c, true)
	frozen.wait(t)
	a.blackhole()
	f.sends(a, frozen.free)
	before := f.wishes()
	f.balanced(b)
	if now := f.wishes(); now.Term <= before.Term {
		t.Errorf("the next coordinator wishes under term %d, the one before under %d", now.Term, before.Term)
	}
	f.drain(c, false)
	f.balanced(b, c)
	a.thaw()
	f.balanced(a, b, c)
	stop()
	f.exact()
	f.pauses(begun)
}

func (f *fleet) drain(n *node, yes bool) {
	f.t.Helper()
	if err := receiver.Drain(f.t.Context(), f.js, n.id, yes); err != nil {
		f.t.Fatal(err)
	}
}

// pauses reports the longest time that a partition stood still since something began to be shipped all the time.
func (f *fleet) pauses(since time.Time) {
	f.t.Helper()
	for p := range f.parts {
		pause := f.history.longestPause(wire.RecordKey(1, p), since)
		f.t.Logf("partition %d: %d epochs, it stood still for %v at most", p, f.record(p).Epoch, pause.Round(time.Millisecond))
		if pause > generous {
			f.t.Errorf("partition %d stood still for %v", p, pause)
		}
	}
}

// The first wishes of a coordinator may land after its successor's, under a higher term. They do not stand: the successor must not take itself for deposed while it
// keeps its lease.
func TestWishesOfADeposedCoordinatorDoNotStand(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the end of a long lease")
	}
	f := newFleet(t, 5*time.Second, 2, nil)
	a, b := f.run("a"), f.run("b")
	f.balanced(a, b)
	now := f.wishes()
	data, err := json.Marshal(receiver.Wishes{Term: now.Term + 1, Wishes: []assign.Wish{{Owner: "nobody"}, {Owner: "nobody"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.bucket.Put(context.Background(), wire.WishesKey(1), data); err != nil {
		t.Fatal(err)
	}
	f.until(func() bool { return f.wishes().Term > now.Term+1 }, "somebody wishes again")
	f.balanced(a, b)
}

// The coordinator is killed, and it is an owner, too.
func TestCoordinatorIsKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the end of several leases")
	}
	f := newFleet(t, 2*time.Second, 3, nil)
	for p := range f.parts {
		f.host(p)
	}
	a := f.run("a")
	f.balanced(a)
	b, c := f.run("b"), f.run("c")
	f.balanced(a, b, c)
	stop := f.flow(5 * time.Millisecond)
	begun := time.Now()
	a.kill()
	f.balanced(b, c)
	a.start()
	f.balanced(a, b, c)
	stop()
	f.exact()
	f.pauses(begun)
}
