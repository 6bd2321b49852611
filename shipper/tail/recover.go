package tail

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
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
	t.changed = t.changed[:0]
	clear(t.owners)
	for _, s := range t.list {
		s.recover(bySource[s.path], now)
		t.await(s)
	}
	return nil
}

func (s *source) recover(known []Generation, now time.Time) {
	attended := map[uint64]int64{} // what was seen of those that were looked at until now
	for _, gens := range [...][]*generation{s.queue, s.late, s.past} {
		for _, g := range gens {
			if g.attended || (g.body != nil && now.Sub(g.seenAt) < retry) {
				attended[g.number] = g.seen
			}
		}
	}
	held := s.release()
	slices.SortFunc(known, func(a, b Generation) int { return cmp.Compare(a.Number, b.Number) })
	for _, k := range known {
		seen, ok := attended[k.Number]
		k.Seen = max(k.Seen, seen)
		s.restore(k, ok, now)
	}
	s.held = held
	s.wantScan()
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
			held = append(held, entry{path: g.path, st: st, held: f})
		}
	}
	s.queue, s.late, s.past = nil, nil, nil
	s.highest, s.began, s.looked, s.alias = 0, 0, time.Time{}, inode{}
	s.restored, s.deep = false, false
	s.settled, s.locked = map[inode]int64{}, map[inode]entry{}
	return held
}

// restore takes over one known generation. One that has not ended is sought.
func (s *source) restore(k Generation, attended bool, now time.Time) {
	g := &generation{
		src: s, number: k.Number, unsaid: k.Unopened, id: k.Identity, path: k.Path,
		read: k.Offset, acked: k.Offset, scanned: k.Offset, size: k.Offset, seen: max(k.Seen, k.Offset),
		length: k.Length, guard: k.Check, grew: now, attended: attended,
	}
	s.first, s.restored = false, true
	s.highest = max(s.highest, k.Number)
	if k.Identity.Birth != 0 {
		if s.began == 0 || k.Identity.Birth < s.began {
			s.began = k.Identity.Birth
		}
		s.tailer.owners[inode{k.Identity.Device, k.Identity.Inode, k.Identity.Birth}] = s
	}
	if k.Path != "" && filepath.Dir(k.Path) != filepath.Dir(s.path) {
		s.addStem(k.Path)
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
	g.sought, g.reason = now, ReasonVanished
	s.queue = append(s.queue, g)
}
