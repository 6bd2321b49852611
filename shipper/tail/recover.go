package tail

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"
)

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
	now := time.Now()
	t.wake.start()
	t.ready = true
	t.changed = t.changed[:0]
	t.discover(now)
	for path := range bySource {
		if judged, ok := t.finder.wants(path); ok {
			t.add(path, judged)
		}
	}
	for _, s := range t.list {
		s.recover(bySource[s.path], now)
		s.busy = true
	}
	return nil
}

func (s *source) recover(known []Generation, now time.Time) {
	held := s.release()
	slices.SortFunc(known, func(a, b Generation) int { return cmp.Compare(a.Number, b.Number) })
	for _, k := range known {
		s.restore(k, now)
	}
	s.scan = true
	if len(held) > 0 {
		s.look(now)
		found, _ := s.list()
		s.reconcile(join(found, held), now)
	}
}

// release empties the source and returns the files that it holds.
func (s *source) release() []entry {
	var held []entry
	seen := map[inode]bool{}
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
			seen[g.inode] = true
			held = append(held, entry{path: g.path, st: st, held: f})
		}
	}
	s.queue, s.late, s.past = nil, nil, nil
	s.highest, s.began = 0, 0
	clear(s.settled)
	return held
}

// join puts what is held in the place of what was found of it.
func join(found, held []entry) []entry {
	is := map[inode]entry{}
	for _, e := range held {
		is[e.st.inode()] = e
	}
	for i, e := range found {
		if h, ok := is[e.st.inode()]; ok {
			found[i].held = h.held
			delete(is, e.st.inode())
		}
	}
	for _, e := range held {
		if _, left := is[e.st.inode()]; left {
			found = append(found, e)
		}
	}
	return found
}

// restore takes over one known generation. One that has not ended is sought.
func (s *source) restore(k Generation, now time.Time) {
	g := &generation{
		src: s, number: k.Number, id: k.Identity, path: k.Path,
		read: k.Offset, acked: k.Offset, scanned: k.Offset, size: k.Offset, seen: max(k.Seen, k.Offset),
		length: k.Length, guard: k.Check, grew: now,
	}
	s.first = false
	s.highest = max(s.highest, k.Number)
	if k.Identity.Birth != 0 {
		s.began = k.Identity.Birth
	}
	if k.Length >= 0 && k.Offset >= k.Length {
		s.past = append(s.past, g)
		return
	}
	g.length = -1
	g.sought, g.reason = now, ReasonVanished
	s.queue = append(s.queue, g)
}
