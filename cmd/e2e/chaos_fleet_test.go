package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/receiver"
)

// fault is what may be done to a receiver.
type fault struct {
	name   string
	weight int
	least  time.Duration // until it is mended,
	most   time.Duration
	do     func(*disturbance, *member) (mend func())
}

// A lease lasts two seconds: what takes less should go unnoticed, what takes more makes others take over.
const (
	blink = time.Second
	lapse = 2300 * time.Millisecond
	long  = 3500 * time.Millisecond
)

var memberFaults = []fault{
	{"SIGTERM", 14, 0, blink, func(_ *disturbance, m *member) func() { m.stop(); return m.begin }},
	{"kill", 12, 0, blink, func(_ *disturbance, m *member) func() { m.kill(); return m.begin }},
	{"kill for long", 5, lapse, long, func(_ *disturbance, m *member) func() { m.kill(); return m.begin }},
	{"freeze", 8, 100 * time.Millisecond, blink, func(_ *disturbance, m *member) func() { m.freeze(); return m.thaw }},
	{"freeze for long", 8, lapse, long, func(_ *disturbance, m *member) func() { m.freeze(); return m.thaw }},
	{"cut", 8, 0, blink, func(_ *disturbance, m *member) func() { m.link.Cut(); return m.link.Heal }},
	{"cut for long", 4, lapse, long, func(_ *disturbance, m *member) func() { m.link.Cut(); return m.link.Heal }},
	{"black hole", 8, 100 * time.Millisecond, blink, func(_ *disturbance, m *member) func() { m.link.Blackhole(); return m.release }},
	{"black hole for long", 6, lapse, long, func(_ *disturbance, m *member) func() { m.link.Blackhole(); return m.release }},
	{"kill in a black hole", 6, 100 * time.Millisecond, long, killInBlackhole},
	{"SIGTERM behind a cut", 4, 0, long, stopBehindCut},
	{"another archive", 8, 0, blink, func(d *disturbance, m *member) func() { return d.swap(m) }},
}

// crewFaults are done to nobody in particular. They are toggles, or over at once.
var crewFaults = []fault{
	{"join or leave", 8, 0, 0, func(d *disturbance, _ *member) func() { d.joinOrLeave(); return nil }},
	{"drain or undrain", 6, 0, 0, func(d *disturbance, m *member) func() { d.drainOrUndrain(m); return nil }},
	{"cut agents", 3, 0, 0, func(d *disturbance, _ *member) func() { d.leaves().Cut(); d.leaves().Heal(); return nil }},
}

// hubFault is for a hub of one node.
var hubFault = fault{"kill hub", 2, 0, 0, func(d *disturbance, _ *member) func() { d.hub.restart(); d.watch.excuse(); return nil }}

func (m *member) begin() { m.start() }

// release lets out what the black hole has swallowed, late as it is.
func (m *member) release() {
	m.link.Heal()
	m.link.Release()
}

// killInBlackhole lets what the dead one has sent arrive when its successor is at work.
func killInBlackhole(d *disturbance, m *member) func() {
	m.link.Blackhole()
	wait(d.rand, 300*time.Millisecond)
	m.kill()
	m.link.Heal()
	m.begin()
	return m.link.Release
}

// stopBehindCut ends a receiver that cannot say goodbye: it ends cleanly all the same, within its own patience or once the hub is back.
func stopBehindCut(d *disturbance, m *member) func() {
	m.ready()
	m.link.Cut()
	p, ended := m.proc, make(chan error, 1)
	m.proc = nil
	d.t.Cleanup(func() { _ = p.Kill() })
	go func() { ended <- p.Stop(patience) }()
	return func() {
		m.link.Heal()
		must(d.t, <-ended)
		m.begin()
	}
}

// step of a schedule.
type step struct {
	pause time.Duration // before it
	fault fault
	who   int  // member
	leads bool // rather the one that coordinates then
	lasts time.Duration
}

// schedule draws the steps beforehand, so that they are the same whatever happens.
func schedule(r *rand.Rand, length int, hubFaults ...fault) (steps []step) {
	faults := slices.Concat(memberFaults, crewFaults, hubFaults)
	var bag []int
	for i, f := range faults {
		bag = append(bag, slices.Repeat([]int{i}, f.weight)...)
	}
	for range length {
		f := faults[bag[r.IntN(len(bag))]]
		steps = append(steps, step{
			pause: 100*time.Millisecond + upTo(r, 700*time.Millisecond), fault: f, who: r.IntN(crewSize + 1), leads: r.IntN(4) == 0,
			lasts: f.least + upTo(r, f.most-f.least),
		})
	}
	return steps
}

// disturbance plays a schedule to a crew.
type disturbance struct {
	*crew
	watch   *watch
	rand    *rand.Rand // for choices within a step
	start   time.Time
	mends   []mending
	drained string
}

// mending is what ends a fault.
type mending struct {
	member *member // nil: of a hub node
	due    time.Time
	do     func()
}

// atOnce is how many receivers have a fault at the same time, at most.
const atOnce = 2

// play does a step, once as many others are mended as it takes.
func (d *disturbance) play(n int, s step) {
	d.mendUntil(time.Now().Add(s.pause))
	m := d.choose(s)
	for m == nil || len(d.mends) >= atOnce {
		d.mendUntil(d.mends[0].due)
		m = d.choose(s)
	}
	d.alive()
	role := ""
	if m.id() == d.watch.coordinator() {
		role = ", the coordinator"
	}
	d.t.Logf("%8s %4d %s: %s%s, %s", time.Since(d.start).Round(time.Millisecond), n, s.fault.name, m.name, role, s.lasts.Round(time.Millisecond))
	d.watch.note(m.id(), false)
	mend := s.fault.do(d, m)
	if mend == nil {
		d.watch.note(m.id(), m.role.running())
		return
	}
	d.mendAfter(m, s.lasts, mend)
}

func (d *disturbance) mendAfter(m *member, lasts time.Duration, do func()) {
	d.mends = append(d.mends, mending{m, time.Now().Add(lasts), do})
	slices.SortFunc(d.mends, func(a, b mending) int { return a.due.Compare(b.due) })
}

// choose finds the member that a step is done to: one that runs and has no fault; nil if there is none.
func (d *disturbance) choose(s step) *member {
	if s.leads {
		for _, m := range d.members {
			if m.id() == d.watch.coordinator() && d.sound(m) {
				return m
			}
		}
	}
	for i := range d.members {
		if m := d.members[(s.who+i)%len(d.members)]; d.sound(m) {
			return m
		}
	}
	return nil
}

func (d *disturbance) sound(m *member) bool { return m.role.running() && !d.troubled(m) }

// troubled reports whether the member waits to be mended.
func (d *disturbance) troubled(m *member) bool {
	return slices.ContainsFunc(d.mends, func(o mending) bool { return o.member == m })
}

// mendUntil lets time pass.
func (d *disturbance) mendUntil(end time.Time) {
	for len(d.mends) > 0 && !d.mends[0].due.After(end) {
		time.Sleep(time.Until(d.mends[0].due))
		d.mendFirst()
	}
	time.Sleep(time.Until(end))
}

func (d *disturbance) mendFirst() {
	next := d.mends[0]
	d.mends = d.mends[1:]
	next.do()
	if next.member != nil {
		d.watch.note(next.member.id(), true)
	}
}

// rest ends all faults, and asks that everything comes to rest.
func (d *disturbance) rest() {
	for len(d.mends) > 0 {
		d.mendFirst()
	}
	if d.drained != "" {
		d.drain(d.drained, false)
	}
	d.rested(d.watch)
}

// swap takes the archive away from a receiver, and gives it the one that it had before.
func (d *disturbance) swap(m *member) func() {
	if d.rand.IntN(2) == 0 {
		m.kill()
	} else {
		m.stop()
	}
	m.work((m.in + 1) % len(m.dirs))
	return m.begin
}

// joinOrLeave starts the last member, or ends it one way or the other; unless it has trouble enough.
func (d *disturbance) joinOrLeave() {
	m := d.members[crewSize]
	switch {
	case d.troubled(m):
		return
	case !m.role.running():
		m.start()
	case d.rand.IntN(2) == 0:
		m.kill()
	default:
		m.stop()
	}
	d.watch.note(m.id(), m.role.running())
}

// drainOrUndrain moves everything away from a receiver, or ends that.
func (d *disturbance) drainOrUndrain(m *member) {
	if d.drained != "" {
		d.drain(d.drained, false)
		return
	}
	d.drain(m.id(), true)
}

func (d *disturbance) drain(id string, yes bool) {
	v := d.view()
	defer v.nc.Close()
	js, err := jetstream.New(v.nc)
	must(d.t, err)
	until(d.t, fmt.Sprintf("%s is drained: %t", id, yes), func() bool { err := receiver.Drain(v.ctx, js, id, yes); return err == nil })
	d.watch.note(id, d.watch.isWell(id))
	d.drained = ""
	if yes {
		d.drained = id
	}
}

// crewSize is how many receivers there always are. One more comes and goes.
const crewSize = 3

// Receivers, and archives, come and go in every way there is, while twenty hosts write. Whatever happens, each byte ends up in one archive, the records tell a straight
// story, and no partition waits for longer than it must.
func TestChaosFleet(t *testing.T) {
	slow(t)
	disturbFleet(t, newCrew(t), length(100), hubFault)
}

func disturbFleet(t *testing.T, c *crew, length int, hubFaults ...fault) {
	t.Helper()
	r := random(t)
	d := &disturbance{crew: c, watch: c.watch(), rand: rand.New(rand.NewPCG(r.Uint64(), 0)), start: time.Now()}
	for range crewSize {
		c.join(2).start()
	}
	c.join(1)
	c.ship(20)
	steps, stop := schedule(r, length, hubFaults...), c.writeAll(r)
	for _, m := range c.running() {
		d.watch.note(m.id(), true)
	}
	d.rested(d.watch)
	for n, s := range steps {
		d.play(n, s)
		if n%25 == 24 {
			d.rest()
		}
	}
	stop()
	d.rest()
	c.everyone()
	c.finish(d.watch)
	t.Logf("%d steps in %v", len(steps), time.Since(d.start).Round(time.Second))
}
