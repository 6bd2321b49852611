package handover_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/logdrive/logdrive/receiver/handover"
)

// rules are those of the protocol that a world may break, to see that its checker notices.
type rules struct {
	history   bool // reconcile with every epoch, not only with the latest start
	cut       bool // set aside what later epochs own
	cas       bool // the record is written by compare-and-set
	confirm   bool // fetch only when the take-over is known to be in the record
	positions bool // know the positions at the start of the epoch
	heal      bool // read again what a restored archive lacks
}

var allRules = rules{history: true, cut: true, cas: true, confirm: true, positions: true, heal: true}

// message holds the bytes [from, to) of the one source of the one host.
type message struct{ from, to int }

// entry is a message as an archive holds it.
type entry struct {
	message
	sequence, epoch uint64
}

// disk is what an archive keeps through a kill.
type disk struct {
	entries   []entry
	start     map[uint64]uint64 // by epoch
	committed map[uint64]uint64
	missing   map[int]bool // bytes that its ledger calls missing
}

func (d disk) clone() disk {
	return disk{slices.Clone(d.entries), maps.Clone(d.start), maps.Clone(d.committed), maps.Clone(d.missing)}
}

// node is an archive with the receiver that runs on it.
type node struct {
	id string
	disk
	backups []disk

	up       bool
	record   handover.Record // as read or written last
	revision int
	waiting  bool // for the answer to a write
	owns     bool
	epoch    uint64
	next     uint64 // to fetch
	fetched  []uint64
	position int
}

// write is a write of the record that is still on its way.
type write struct {
	by       int
	revision int // expected
	record   handover.Record
	takeOver bool
	release  bool
}

// world is one partition: its stream, its record, and the archives that want it. It follows model/main.go, without the agent.
type world struct {
	rules    rules
	messages []message // by sequence, from 1
	first    uint64    // lowest sequence not purged
	record   handover.Record
	revision int
	flying   []write
	nodes    []node
	restored bool // a disk went back: then bytes may really be lost
}

func newWorld(r rules) *world {
	w := &world{rules: r, messages: make([]message, 1), first: 1, record: handover.Record{Stream: "S"}}
	for _, id := range []string{"A", "B", "C"} {
		w.nodes = append(w.nodes, node{id: id, disk: disk{start: map[uint64]uint64{}, committed: map[uint64]uint64{}, missing: map[int]bool{}}})
	}
	return w
}

func (w *world) clone() *world {
	c := *w
	c.messages, c.flying, c.nodes = slices.Clone(w.messages), slices.Clone(w.flying), slices.Clone(w.nodes)
	for i := range c.nodes {
		c.nodes[i].disk = c.nodes[i].disk.clone()
		c.nodes[i].fetched = slices.Clone(c.nodes[i].fetched)
	}
	return &c
}

func (w *world) last() uint64 { return uint64(len(w.messages) - 1) }

// step does one thing that can happen.
func (w *world) step(choose func(n int) int) {
	n := &w.nodes[choose(len(w.nodes))]
	switch choose(13) {
	case 0:
		from := w.messages[w.last()].to
		w.messages = append(w.messages, message{from, from + 1 + choose(2)})
	case 1, 2:
		if n.up {
			w.fetch(n)
		}
	case 3, 4:
		if n.up {
			w.commit(n)
		}
	case 5:
		w.sendFloor(n)
	case 6:
		w.sendTakeOver(n)
	case 7, 8:
		if len(w.flying) > 0 {
			w.land(choose(len(w.flying)), choose(4) > 0)
		}
	case 9:
		n.stop()
		n.up = false
	case 10:
		n.up = true
		w.sync(n)
	case 11:
		switch choose(3) {
		case 0:
			w.restore(n, choose)
		default:
			w.first = max(w.first, w.record.Floor) // the head is kept
		}
	case 12:
		w.sendRelease(n)
	}
}

func (n *node) stop() {
	n.owns, n.waiting, n.fetched, n.next, n.position = false, false, nil, 0, 0
}

func (w *world) restore(n *node, choose func(n int) int) {
	if !n.up && len(n.backups) > 0 {
		n.disk = n.backups[choose(len(n.backups))].clone()
		w.restored = true
	}
}

// sync reads the record and reconciles; the owner goes on from there.
func (w *world) sync(n *node) {
	n.stop()
	n.record, n.revision = w.record, w.revision
	plan, err := handover.Reconcile(w.record, n.id, n.held())
	if err != nil {
		panic(err)
	}
	if !w.rules.history {
		plan.SetAside = w.aboveLatest(n)
	}
	if w.rules.cut {
		for _, r := range plan.SetAside {
			n.setAside(r)
		}
	}
	if w.rules.heal {
		for _, r := range plan.ReadAgain {
			w.readAgain(n, r)
		}
	}
	if w.record.Epoch > 0 && w.record.Owner == n.id && !w.record.Released {
		w.own(n, w.record, plan.Next)
	}
}

// aboveLatest is what a receiver would set aside that looks at the latest start only.
func (w *world) aboveLatest(n *node) (ranges []handover.Range) {
	for _, h := range n.held() {
		latest := w.record.Epochs[len(w.record.Epochs)-1]
		if h.Epoch < latest.Epoch && h.To > latest.Start {
			ranges = append(ranges, handover.Range{Epoch: h.Epoch, After: latest.Start, To: h.To})
		}
	}
	return ranges
}

func (n *node) held() (held []handover.Held) {
	for _, epoch := range slices.Sorted(maps.Keys(n.committed)) {
		held = append(held, handover.Held{Epoch: epoch, After: n.start[epoch], To: n.committed[epoch]})
	}
	return held
}

func (n *node) setAside(r handover.Range) {
	n.entries = slices.DeleteFunc(n.entries, func(e entry) bool { return e.epoch == r.Epoch && e.sequence > r.After })
	n.committed[r.Epoch] = r.After
}

func (w *world) readAgain(n *node, r handover.Range) {
	for s := r.After + 1; s <= r.To; s++ {
		if s >= w.first {
			n.entries = append(n.entries, entry{w.messages[s], s, r.Epoch})
			continue
		}
		for b := w.messages[s].from; b < w.messages[s].to; b++ {
			n.missing[b] = true
		}
	}
	if _, known := n.start[r.Epoch]; !known {
		n.start[r.Epoch] = r.After
	}
	n.committed[r.Epoch] = r.To
}

func (w *world) own(n *node, r handover.Record, next uint64) {
	n.owns, n.epoch, n.next, n.record = true, r.Epoch, next, r
	if w.rules.positions {
		n.position = w.messages[next-1].to
		return
	}
	for _, e := range n.entries {
		n.position = max(n.position, e.to)
	}
}

func (w *world) fetch(n *node) bool {
	if !n.owns || n.next > w.last() || n.next < w.first {
		return false
	}
	n.fetched = append(n.fetched, n.next)
	n.next++
	return true
}

func (w *world) commit(n *node) {
	if !n.owns || len(n.fetched) == 0 {
		return
	}
	n.backups = append(n.backups, n.disk.clone())
	if _, begun := n.start[n.epoch]; !begun {
		n.start[n.epoch] = n.record.Epochs[len(n.record.Epochs)-1].Start
	}
	for _, s := range n.fetched {
		m := w.messages[s]
		for b := n.position; b < m.from; b++ {
			n.missing[b] = true
		}
		if m.to > n.position {
			n.entries = append(n.entries, entry{message{max(m.from, n.position), m.to}, s, n.epoch})
			n.position = m.to
		}
		n.committed[n.epoch] = s
	}
	n.fetched = nil
}

func (w *world) sendFloor(n *node) {
	if !n.up || !n.owns || n.waiting || n.committed[n.epoch] <= n.record.Floor {
		return
	}
	r, err := n.record.Advance(n.committed[n.epoch])
	if err == nil {
		w.send(n, r, false)
	}
}

func (w *world) sendTakeOver(n *node) {
	if !n.up || n.owns || n.waiting || n.revision != w.revision && w.rules.cas {
		return
	}
	r := n.record.TakeOver(n.id)
	if n.record.Owner == n.id && n.record.Released {
		r = n.record.Resume()
	}
	w.send(n, r, true)
	if !w.rules.confirm {
		w.own(n, r, r.Floor+1)
	}
}

// sendRelease ends an epoch with everything committed; what was fetched and not committed is forgotten.
func (w *world) sendRelease(n *node) {
	if !n.up || !n.owns || n.waiting {
		return
	}
	r, err := n.record.Release(max(n.committed[n.epoch], n.record.Floor))
	if err != nil {
		return
	}
	n.owns, n.fetched = false, nil
	w.send(n, r, false)
	w.flying[len(w.flying)-1].release = true
}

func (w *world) send(n *node, r handover.Record, takeOver bool) {
	by := slices.IndexFunc(w.nodes, func(o node) bool { return o.id == n.id })
	n.waiting = true
	w.flying = append(w.flying, write{by: by, revision: n.revision, record: r, takeOver: takeOver})
}

// land lets a write arrive, however late; answered says that its writer learns the outcome.
func (w *world) land(i int, answered bool) {
	f := w.flying[i]
	w.flying = slices.Delete(w.flying, i, i+1)
	ok := !w.rules.cas || f.revision == w.revision
	if ok {
		w.revision++
		w.record = f.record
	}
	n := &w.nodes[f.by]
	if !n.up || !n.waiting {
		return
	}
	n.waiting = false
	switch {
	case !answered && (w.rules.confirm || !f.takeOver), answered && !ok:
		n.stop() // outcome unknown or refused: read the record again
	case answered && (f.takeOver || f.release):
		w.sync(n)
	case answered:
		n.record, n.revision = f.record, w.revision
	}
}

// settle ends all faults: what is on its way is lost, everybody reconciles, the owner reads to the end. It says what is wrong then, or nothing.
func (w *world) settle() string {
	w = w.clone()
	w.flying = nil
	var owner *node
	for i := range w.nodes {
		n := &w.nodes[i]
		n.up = true
		w.sync(n)
		if n.owns {
			owner = n
		}
	}
	if owner == nil { // nobody owned it yet, or it is released
		owner = &w.nodes[0]
		w.record = w.record.TakeOver(owner.id)
		w.revision++
		w.sync(owner)
	}
	for w.fetch(owner) {
		w.commit(owner)
	}
	if owner.next <= w.last() {
		return fmt.Sprintf("owner %s needs message %d, which was purged", owner.id, owner.next)
	}
	return w.check()
}

func (w *world) check() string {
	count, missing := map[int]int{}, map[int]bool{}
	for _, n := range w.nodes {
		for _, e := range n.entries {
			for b := e.from; b < e.to; b++ {
				count[b]++
			}
		}
		maps.Copy(missing, n.missing)
	}
	for b := range w.messages[w.last()].to {
		switch {
		case count[b] > 1:
			return fmt.Sprintf("byte %d is archived %d times", b, count[b])
		case count[b] == 0 && !missing[b]:
			return fmt.Sprintf("byte %d is lost in silence", b)
		case count[b] == 0 && !w.restored:
			return fmt.Sprintf("byte %d is called missing though no disk was lost", b)
		case count[b] == 1 && missing[b]:
			return fmt.Sprintf("byte %d is archived and called missing", b)
		}
	}
	return ""
}
