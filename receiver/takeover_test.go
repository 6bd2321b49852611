package receiver_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/logdrive/logdrive/receiver/handover"
)

// flickering is a lease for tests that wait for its end again and again.
const flickering = time.Second

// TestPausedOwners is schedule T2: an owner stops anywhere and its lease ends; so does the one that takes over, before its first commit; both go on.
func TestPausedOwners(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 1
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	f := newFleet(t, flickering, 2, nil)
	web := []*agent{f.host(0), f.host(0), f.host(1)}
	for _, name := range []string{"a", "b"} {
		f.run(name)
	}
	f.balanced(f.nodes...)
	var aside int64
	for round := range rounds {
		where := []string{"append", "commit", "floor", "hole", "floor written"}[rnd.IntN(5)]
		old := f.owner(0)
		next := f.nodes[0]
		if next == old {
			next = f.nodes[1]
		}
		for _, a := range web {
			f.ship(a, 1+rnd.IntN(3))
		}
		t.Logf("round %d: %s stops at %q", round, old.name, where)
		held := f.stall(old, where, web[rnd.IntN(2)])
		slow := next.trap(0, []string{"fetch", "append", "commit"}[rnd.IntN(3)])
		f.ship(web[0], 1+rnd.IntN(3))
		next.owns(0)
		f.ship(web[1], 1+rnd.IntN(3))
		slow.wait(t)
		order := []func(){held, slow.free}
		if rnd.IntN(2) == 0 {
			order[0], order[1] = order[1], order[0]
		}
		for _, do := range order {
			do()
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
		}
		f.exact()
		aside = f.setAside(f.nodes[0]) + f.setAside(f.nodes[1])
	}
	t.Logf("%d bytes were set aside; partition 0 had %d epochs", aside, f.record(0).Epoch)
	if !testing.Short() && aside == 0 {
		t.Error("nothing was ever set aside: no owner was overtaken between its commit and its floor")
	}
}

// stall stops a node at a place while it archives what the agent ships, and its network with it, as SIGSTOP does. "hole" is the floor's way to the hub. What it
// returns lets all go on.
func (f *fleet) stall(n *node, where string, a *agent) (release func()) {
	f.t.Helper()
	place := where
	if where == "hole" {
		place = "floor"
	}
	trap := n.trap(0, place)
	f.ship(a, 1)
	trap.wait(f.t)
	n.blackhole()
	if where == "hole" {
		f.sends(n, trap.free)
		return n.thaw
	}
	return func() {
		n.thaw()
		trap.free()
	}
}

// sends waits until the node's network has swallowed the write that do lets it send.
func (f *fleet) sends(n *node, do func()) {
	f.t.Helper()
	writes, held := n.writes.Load(), n.proxy.Held()
	do()
	f.until(func() bool { return n.writes.Load() > writes && n.proxy.Held() > held }, "%s sends", n.name)
}

// TestReturnsAfterTwoOthers is schedule T3: the first owner has committed what the record does not know, the second archived the same, the third nothing. What the
// first one holds counts no more, whichever returns first.
func TestReturnsAfterTwoOthers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the end of several leases")
	}
	for _, recorded := range []bool{true, false} {
		t.Run(fmt.Sprintf("floor of the second recorded %v", recorded), func(t *testing.T) {
			t.Parallel()
			returnsAfterTwoOthers(t, recorded)
		})
	}
}

func returnsAfterTwoOthers(t *testing.T, recorded bool) {
	f := newFleet(t, flickering, 1, nil)
	web := f.host(0)
	a := f.run("a")
	f.ship(web, 3)
	f.floor(3)

	lost := a.trap(0, "floor")
	f.ship(web, 1)
	lost.wait(t)
	tail := f.lastLine(web)
	a.kill()

	b := f.run("b")
	b.owns(0)
	f.floor(4)
	last := b.trap(0, map[bool]string{true: "floor written", false: "floor"}[recorded])
	f.ship(web, 1)
	last.wait(t)
	b.covers(0)
	b.kill()

	c := f.run("c")
	none := c.trap(0, "commit")
	c.owns(0)
	f.ship(web, 1)
	none.wait(t)
	c.kill()

	last.free()
	b.start()
	b.owns(0)
	f.ship(web, 1)
	lost.free()
	a.start()
	none.free()
	c.start()
	f.exact()
	if size := f.setAside(a); size != int64(len(tail)) {
		t.Errorf("the first owner has set %d bytes aside, want the %d of its tail", size, len(tail))
	}
	if size, want := f.setAside(b), int64(0); recorded && size != want {
		t.Errorf("the second owner has set %d bytes aside, want none: all it committed is in the record", size)
	} else if !recorded && size == 0 {
		t.Error("the second owner has set nothing aside: its last commit is not in the record")
	}
}

// covers asserts that the node's archive has committed everything up to the floor of the partition that it owns.
func (n *node) covers(partition int) {
	n.t.Helper()
	r := n.record(partition)
	held, err := n.archive.Held(r.Stream, r.Created)
	if err != nil {
		n.t.Fatal(err)
	}
	if !slices.ContainsFunc(held, func(h handover.Held) bool { return h.Epoch == r.Epoch && h.To >= r.Floor }) {
		n.t.Errorf("the floor is %d, %s has committed %+v", r.Floor, n.name, held)
	}
}

func (f *fleet) lastLine(a *agent) []byte {
	lines := bytes.SplitAfter(f.truth[a.host], []byte("\n"))
	return lines[len(lines)-2]
}
