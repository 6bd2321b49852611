package receiver_test

import (
	"slices"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/receiver"
)

// steady is a lease that a slow machine does not let end by itself.
const steady = 3 * time.Second

// TestNoHubForLongerThanALease: everybody's lease ends, and nobody is gone. Owners stay owners.
func TestNoHubForLongerThanALease(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the end of several leases")
	}
	for name, outage := range map[string]func(f *fleet){
		"the hub is restarted": func(f *fleet) {
			if err := f.hub.Stop(); err != nil {
				f.t.Fatal(err)
			}
			time.Sleep(2 * steady)
			f.hub = clustertest.Start(f.t, f.config)
		},
		"all networks are cut, and one comes back before the others": func(f *fleet) {
			f.cut()
			time.Sleep(2 * steady)
			f.heal(steady * 4 / 10)
		},
		"all networks hang": func(f *fleet) {
			for _, n := range f.nodes {
				n.blackhole()
			}
			time.Sleep(2 * steady)
			for _, n := range f.nodes {
				n.thaw()
			}
		},
		// The one that is back first must not take the time without a hub for silence of the others.
		"nearly a lease long, then one comes back before the others": func(f *fleet) {
			f.cut()
			time.Sleep(steady * 7 / 10)
			f.heal(steady * 4 / 10)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, steady, 4, nil)
			for p := range f.parts {
				f.host(p)
			}
			a := f.run("a")
			f.balanced(a)
			b, c := f.run("b"), f.run("c")
			f.balanced(a, b, c)
			f.shipAll(3)
			owners, wishes := f.owners(), f.wishes()
			outage(f)
			for range 5 { // for as long as it takes to see anybody as gone
				f.shipAll(1)
				time.Sleep(steady / 2)
			}
			if now := f.owners(); !slices.Equal(now, owners) {
				t.Errorf("owners are %v, they were %v", now, owners)
			}
			if now := f.wishes(); !slices.Equal(now.Wishes, wishes.Wishes) {
				t.Errorf("wishes are %+v, they were %+v", now, wishes)
			}
			f.exact()
		})
	}
}

func (f *fleet) cut() {
	for _, n := range f.nodes {
		n.proxy.Cut()
	}
}

// heal gives the first node its network back, and the others theirs some time later.
func (f *fleet) heal(later time.Duration) {
	for i, n := range f.nodes {
		if i == 1 {
			time.Sleep(later)
		}
		n.proxy.Heal()
	}
}

// shipAll lets every host write n lines, and waits until they are archived.
func (f *fleet) shipAll(n int) {
	f.t.Helper()
	for _, a := range f.agents {
		f.ship(a, n)
	}
	f.exact()
}

// tenancy is who owns a partition, under which epoch.
type tenancy struct {
	owner string
	epoch uint64
}

func (f *fleet) owners() (all []tenancy) {
	f.t.Helper()
	for p := range f.parts {
		r := f.record(p)
		all = append(all, tenancy{f.owner(p).name, r.Epoch})
	}
	return all
}

// A receiver comes back that was cut off while a newcomer took over. It must not take back what it owned, because it has not heard of the newcomer yet.
func TestNewcomerStaysOwner(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the end of a lease")
	}
	f := newFleet(t, flickering, 1, nil)
	web, a := f.host(0), f.run("a")
	f.ship(web, 1)
	f.floor(1)
	last := a.trap(0, "floor")
	f.ship(web, 1)
	last.wait(t)
	a.proxy.Cut()
	last.free() // it cannot move the floor, and tries from then on to look at the record
	b := f.run("b")
	b.owns(0)
	f.ship(web, 3)
	f.floor(5)
	a.proxy.Heal()
	f.until(func() bool {
		members, err := receiver.Members(t.Context(), f.js)
		return err == nil && len(members) == 2
	}, "the first receiver is a member again")
	for range 10 {
		f.ship(web, 1)
		time.Sleep(flickering / 4)
	}
	f.exact()
	if r := f.record(0); r.Owner != b.id || r.Epoch != 2 {
		t.Errorf("the record is %+v, want the newcomer to own the partition in the second epoch", r)
	}
}
