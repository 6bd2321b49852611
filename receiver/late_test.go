package receiver_test

import (
	"fmt"
	"testing"

	"github.com/logdrive/logdrive/receiver/handover"
)

// TestLateWrites is schedule T11 (i) and (ii): a write of the record is on its way when its writer dies, and lands before or after another archive takes over. It
// counts or it does not; either way the floor never goes back, and every byte is archived once.
func TestLateWrites(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"floor", "take over", "release"} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s lands before the take-over %v", where, before), func(t *testing.T) {
				t.Parallel()
				if testing.Short() && (where != "floor" || before) {
					t.Skip("takes the end of several leases")
				}
				lateWrite(t, where, before)
			})
		}
	}
}

func lateWrite(t *testing.T, where string, before bool) {
	f := newFleet(t, flickering, 1, nil)
	web, a, b := f.host(0), f.add("a", nil), f.add("b", nil)
	if where == "take over" {
		first := f.run("first")
		first.owns(0)
		f.ship(web, 2)
		f.floor(2)
		first.kill()
	}
	late := a.trap(0, where)
	a.start()
	if where != "take over" {
		f.ship(web, 1)
	}
	if where == "release" {
		a.owns(0)
		f.floor(1)
		a.cancel()
	}
	late.wait(t)
	b.start()
	a.blackhole()
	f.sends(a, late.free)
	a.kill()
	was := f.record(0)

	taking := b.trap(0, "take over")
	taking.wait(t)
	if before {
		a.thaw()
		f.until(func() bool { return changed(f.record(0), was) }, "the late write has landed")
		taking.free()
		b.owns(0)
	} else {
		taking.free()
		b.owns(0)
		a.thaw()
		f.until(func() bool { return a.proxy.Held() == 0 }, "the late write has landed")
	}
	f.ship(web, 3)
	a.start()
	if where == "take over" {
		f.nodes[2].start()
	}
	f.exact()
	aside := f.setAside(a)
	if want := int64(len(f.truth[web.host][:len("h0-0 writes line 0\n")])); where == "floor" && !before && aside != want {
		t.Errorf("%d bytes were set aside, want the %d that the late write did not save", aside, want)
	} else if (where != "floor" || before) && aside != 0 {
		t.Errorf("%d bytes were set aside, want none", aside)
	}
}

func changed(a, b handover.Record) bool {
	return a.Floor != b.Floor || a.Epoch != b.Epoch || a.Released != b.Released
}

// floor waits until the record of the first partition knows that everything up to a sequence is archived.
func (f *fleet) floor(sequence uint64) {
	f.t.Helper()
	f.until(func() bool { return f.record(0).Floor >= sequence }, "the floor is %d", sequence)
}

// TestFloorLandsAfterItsOwnerHasRetried is schedule T11 (iii): the answer never came, the owner has read the record again and moved the floor by another write.
func TestFloorLandsAfterItsOwnerHasRetried(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the time-out of a write")
	}
	f := newFleet(t, flickering, 1, nil)
	web, a := f.host(0), f.run("a")
	f.ship(web, 3)
	f.floor(3)
	late := a.trap(0, "floor")
	f.ship(web, 1)
	late.wait(t)
	a.blackhole()
	f.sends(a, late.free)
	a.proxy.Heal()
	if err := a.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	f.floor(4)
	f.ship(web, 1)
	f.floor(5)
	a.proxy.Release()
	f.until(func() bool { return a.proxy.Held() == 0 }, "the late write has landed")
	f.ship(web, 1)
	f.floor(6)
	f.exact()
	if r := f.record(0); r.Epoch != 1 || f.setAside(a) != 0 {
		t.Errorf("the record is %+v, and %d bytes were set aside; want the first epoch and none", r, f.setAside(a))
	}
}

// TestFloorCatchesUpInSilence: what was committed before a kill is in the record soon after the next start, even if nothing is shipped any more.
func TestFloorCatchesUpInSilence(t *testing.T) {
	t.Parallel()
	f := newFleet(t, flickering, 1, nil)
	web, a := f.host(0), f.run("a")
	late := a.trap(0, "floor")
	f.ship(web, 1)
	late.wait(t)
	a.kill()
	late.free()
	a.start()
	f.floor(1)
	f.exact()
}
