package tail

import (
	"maps"
	"slices"
	"time"
)

// alwaysKnown is how many ended generations of a source are remembered whether their files stand or not: as many as the hub's tables hold at most.
const alwaysKnown = 64

// isPast reports whether an entry is what an ended generation was read from, or a copy of it: by inode first, for content alone is slow to compare where a
// thousand rotated files are of one size.
func (s *source) isPast(e entry, now time.Time) bool {
	for _, byContent := range [...]bool{false, true} {
		for i, g := range slices.Backward(s.past) {
			if !g.unproven() && g.mayStandIn(e, byContent) && e.st.size >= g.read && g.is(e.held) {
				g.inode, g.path, g.mtime = e.st.inode(), e.path, e.st.mtime
				if !byContent && e.st.size > g.read {
					s.past = slices.Delete(s.past, i, i+1)
					s.resume(g, e, now)
				}
				return true
			}
		}
	}
	return false
}

// mayStandIn reports whether it is worth to compare a file with an ended generation.
func (g *generation) mayStandIn(e entry, byContent bool) bool {
	if byInode := g.id.sameInode(e.st); !byContent || byInode {
		return byInode && !byContent
	}
	if e.path == g.src.path && e.st.dev == g.id.Device {
		return false // a new file of the same content, as of a job that says the same each time: copies stand elsewhere
	}
	return g.guard.Len != 0 && g.proven == g.read && max(g.id.HeadLen, g.glimpse.Len, g.guard.Len) >= tellingHead && e.st.size == g.read
}

// resume reads an ended generation on that has grown.
func (s *source) resume(g *generation, e entry, now time.Time) {
	g.attach(e.held)
	g.look(e.st, now)
	g.sees(e.st.size)
	s.late = append(s.late, g)
	s.tailer.stir(s)
}

// notePast notes where ended generations stand now. A file that was cut and written again is that of the newest which stood in it.
func (s *source) notePast(found []entry) {
	standing := map[fileNumber]*generation{}
	for _, g := range s.past {
		if o := standing[g.lastIn()]; o == nil || o.number < g.number {
			standing[g.lastIn()] = g
		}
		g.path = ""
	}
	s.each(func(g *generation) { delete(standing, g.lastIn()) })
	for _, e := range found {
		g := standing[fileNumber{e.st.dev, e.st.ino}]
		if g != nil && (g.inode == e.st.inode() || g.inode == (inode{}) && g.id.sameInode(e.st)) {
			g.path, g.mtime = e.path, e.st.mtime
		}
	}
}

// lastIn is the file in which the generation stood when it was last seen, or as it was opened, if it was not seen since a recovery.
func (g *generation) lastIn() fileNumber {
	if g.inode == (inode{}) {
		return fileNumber{g.id.Device, g.id.Inode}
	}
	return fileNumber{g.inode.dev, g.inode.ino}
}

// depart forgets old generations that stand nowhere any more: nothing can be mistaken for them. Those that stand are remembered however many they
// are, else a program that keeps a thousand rotated files would have some of them shipped again after each restart.
func (s *source) depart() {
	if s.tailer.waits || s.blind || len(s.past) <= alwaysKnown || !s.isMounted() {
		return
	}
	var numbers []uint64
	for _, g := range s.past {
		numbers = append(numbers, g.number)
	}
	slices.Sort(numbers)
	bound, before := numbers[len(numbers)-alwaysKnown], len(s.past)
	s.past = slices.DeleteFunc(s.past, func(g *generation) bool {
		return g.number < bound && g.path == "" && g.acked >= g.read && !g.changed
	})
	if len(s.past) == before {
		return
	}
	s.each(func(g *generation) {
		if g.number != 0 {
			bound = min(bound, g.number)
		}
	})
	for _, g := range s.past {
		bound = min(bound, g.number)
	}
	s.tailer.departed = append(s.tailer.departed, Finished{Source: s.path, Generation: bound - 1})
}

// prune forgets what was settled of files that stand nowhere any more, once they are more than those that do.
func (s *source) prune(found []entry) {
	if len(s.settled) < 2*len(found)+alwaysKnown {
		return
	}
	stands := map[inode]bool{}
	for _, e := range found {
		stands[e.st.inode()] = true
	}
	maps.DeleteFunc(s.settled, func(i inode, _ int64) bool { return !stands[i] })
}

// pruneOwners forgets whose the files were that no source knows any more, once they are more than those that one does.
func (t *Tailer) pruneOwners() {
	if len(t.owners) < t.ownersMost {
		return
	}
	known := map[inode]bool{}
	for _, s := range t.list {
		for _, gens := range [...][]*generation{s.queue, s.late, s.past} {
			for _, g := range gens {
				known[g.inode], known[inode{g.id.Device, g.id.Inode, g.id.Birth}] = true, true
			}
		}
		for i := range s.settled {
			known[i] = true
		}
		for _, e := range s.held {
			known[e.st.inode()] = true
		}
	}
	maps.DeleteFunc(t.owners, func(i inode, _ *source) bool { return !known[i] })
	t.ownersMost = 2*len(t.owners) + alwaysKnown
}

// Departed returns, once, up to which generation of a source nothing needs to be remembered: the files are gone, and all of them was acknowledged.
func (t *Tailer) Departed() []Finished {
	gone := t.departed
	t.departed = nil
	return gone
}
