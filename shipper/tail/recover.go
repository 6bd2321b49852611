package tail

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Await begins to look after the files before the hub has told any position: from now on Fill opens and holds what it finds, so that
// rotation takes nothing away, but says nothing until Recover. What a checkpoint remembers tells what was shipped most likely, and need not be
// right.
func (t *Tailer) Await(remembered []Generation) error {
	if err := t.Recover(remembered); err != nil {
		return err
	}
	t.waits = true
	return nil
}

// Recover sets every position to what is known, forward or back, and forgets
// what was read since. Files are matched by identity and by the bytes before the
// position: one that matches nothing is a new generation. It is called
// before the first Fill and whenever the hub was asked anew.
func (t *Tailer) Recover(known []Generation) error {
	bySource := map[string][]Generation{}
	for _, k := range known {
		if k.Number == 0 || k.Offset < 0 {
			return fmt.Errorf("recover %s: generation %d at offset %d", k.Source, k.Number, k.Offset)
		}
		bySource[k.Source] = append(bySource[k.Source], k)
	}
	if err := t.start(); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	now := time.Now()
	if t.searching {
		t.takeFindings(<-t.found, now)
		t.searching = false
	} else {
		t.takeFindings(t.finder.find(), now)
	}
	for path := range bySource {
		if judged, ok := t.finder.wants(path); ok {
			t.add(path, judged)
			t.finder.reported[path] = true
		}
	}
	t.changed, t.waits = t.changed[:0], false
	clear(t.owners)
	clear(t.refused)
	for _, s := range t.list {
		s.recover(bySource[s.path], now)
		t.await(s)
	}
	return nil
}

func (s *source) recover(known []Generation, now time.Time) {
	before := s.watchedOver(known, now)
	lost := s.lostUnread(known)
	held := s.release()
	slices.SortFunc(known, func(a, b Generation) int { return cmp.Compare(a.Number, b.Number) })
	for _, k := range known {
		s.restore(k, before[incarnation{k.Number, k.Identity}], now)
	}
	s.restoreLost(lost)
	s.held = held
	s.wantScan()
}

// incarnation names a generation for as long as it is the same file: after a conflict the chain may know another one by its number.
type incarnation struct {
	number uint64
	id     Identity
}

// watchedOver returns the generations that were looked at until now. What was seen of a file says nothing of a generation that the chain continued from
// another one that is alike: a cloned machine's.
func (s *source) watchedOver(known []Generation, now time.Time) map[incarnation]*generation {
	seen := map[incarnation]*generation{}
	for _, gens := range [...][]*generation{s.queue, s.late, s.past} {
		for _, g := range gens {
			if g.attended || (g.body != nil && now.Sub(g.seenAt) < retry) {
				seen[incarnation{g.number, g.id}] = g
			}
		}
	}
	for _, k := range known {
		at := incarnation{k.Number, k.Identity}
		if g := seen[at]; g != nil && !g.packed && g.body != nil && !k.Check.holds(g.body, k.Offset) {
			delete(seen, at)
		}
	}
	return seen
}

// lostUnread returns what was seen, is gone, and is not known: nobody else can declare it. A number that was given to it is void, for the chain holds no Open of it.
// What was only told of it is not seen: a checkpoint may lag behind what the chain was given of a generation, and has forgotten since.
func (s *source) lostUnread(known []Generation) (lost []*generation) {
	for _, g := range slices.Concat(s.past, s.queue) {
		is := func(k Generation) bool { return k.Number == g.number && k.Identity == g.id }
		if g.body != nil || g.told || g.acked >= g.seen || slices.ContainsFunc(known, is) {
			continue
		}
		lost = append(lost, &generation{
			src: s, inode: g.inode, mtime: g.mtime, lost: true, length: -1, size: g.size, seen: g.seen, glimpse: g.glimpse,
			grew: g.grew, seenAt: g.seenAt, behind: g.behind, sought: g.grew, reason: cmp.Or(g.reason, ReasonVanished), cut: g.cut, attended: g.attended,
		})
	}
	return lost
}

// restoreLost queues what is gone behind what the chain knows, unless that is the same file: then it ends where it was seen to.
func (s *source) restoreLost(lost []*generation) {
	known := slices.Clone(s.queue)
	for _, l := range lost {
		i := slices.IndexFunc(known, l.mayBe)
		if i < 0 {
			s.queue = append(s.queue, l)
			continue
		}
		g := known[i]
		g.seen, g.attended, g.reason, g.glimpse = max(g.seen, l.seen), true, l.reason, l.glimpse
		known = slices.Delete(known, i, i+1)
	}
}

// mayBe reports whether an unread generation that is gone can be the one that the chain knows. Where the file held something else before,
// that is what the chain knows, unless their beginnings are the same.
func (g *generation) mayBe(known *generation) bool {
	if known.id.Inode != g.inode.ino || known.id.Device != g.inode.dev || known.id.Birth != g.inode.birth || known.read > g.seen {
		return false
	}
	if known.id.HeadLen == g.glimpse.Len {
		return known.id.Head == g.glimpse.Sum
	}
	return !g.cut
}

// release empties the source and returns the files that it holds.
func (s *source) release() []entry {
	held := s.held // of a recovery that was not finished
	seen := map[inode]bool{}
	for _, e := range held {
		seen[e.st.inode()] = true
	}
	for _, gens := range [...][]*generation{s.queue, s.late} {
		for _, g := range gens {
			f, ok := g.body.(*os.File)
			if !ok || seen[g.inode] {
				g.close()
				continue
			}
			st, err := statFile(f)
			if err != nil {
				g.close()
				continue
			}
			s.tailer.open--
			seen[g.inode] = true
			held = append(held, entry{path: g.path, st: st, held: f, unread: g.number == 0})
		}
	}
	s.queue, s.late, s.past = nil, nil, nil
	s.highest, s.lowest, s.began, s.looked, s.alias = 0, 0, 0, time.Time{}, inode{}
	s.restored, s.deep = false, false
	s.settled, s.locked = map[inode]int64{}, map[inode]entry{}
	return held
}

// restore takes over one known generation; before is what it was here, nil if it was not looked at until now. One
// that has not ended is sought.
func (s *source) restore(k Generation, before *generation, now time.Time) {
	g := &generation{
		src: s, number: k.Number, unsaid: k.Unopened, id: k.Identity, path: k.Path,
		read: k.Offset, acked: k.Offset, scanned: k.Offset, size: k.Offset, seen: max(k.Seen, k.Offset),
		length: k.Length, guard: k.Check, proven: k.Offset, ackedCheck: k.Check, grew: now, reason: ReasonVanished,
	}
	g.told = before == nil && !k.Unopened
	if before != nil {
		g.attended, g.seen = true, max(g.seen, before.seen)
		g.reason = cmp.Or(before.reason, g.reason) // what is known to be cut is not found where it was
	}
	s.first, s.restored, s.history = false, true, nil
	s.highest = max(s.highest, k.Number)
	if k.Identity.Birth != 0 {
		s.tailer.owners[inode{k.Identity.Device, k.Identity.Inode, k.Identity.Birth}] = s
	}
	if !k.Forgotten {
		s.noteKnown(k)
	}
	if dir := filepath.Dir(k.Path); k.Path != "" && dir != filepath.Dir(s.path) && dir != s.tailer.cfg.HoldDir {
		s.addStem(k.Path)
	}
	if !k.Unopened && k.Length < 0 && g.unproven() {
		k.Length, g.length = k.Offset, k.Offset // the last that was said of it is that bytes are missing: they ended it
	}
	if k.Length >= 0 && k.Offset >= k.Length {
		g.attended = true // its end is known
		s.past = append(s.past, g)
		return
	}
	if k.Length >= 0 {
		g.seen, g.attended = max(g.seen, k.Length), true
	}
	g.length = -1
	g.sought = now
	s.queue = append(s.queue, g)
}

// noteKnown notes how far back the chain remembers. Generations come in their order.
func (s *source) noteKnown(k Generation) {
	if s.lowest == 0 {
		s.lowest = k.Number
	}
	switch {
	case k.Identity.Birth == 0:
	case k.Number == 1:
		s.began = math.MinInt64 // the chain has forgotten none
	case s.began == 0 || k.Identity.Birth < s.began:
		s.began = k.Identity.Birth
	}
}
