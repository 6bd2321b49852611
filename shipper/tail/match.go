package tail

import (
	"bytes"
	"io"
	"os"
	"slices"
	"time"
)

// needless reports whether a file can be left out without a look into it.
func (s *source) needless(e entry) bool {
	size, settled := s.settled[e.st.inode()]
	if size < 0 {
		return true
	}
	for _, g := range s.queue {
		if !g.sought.IsZero() && (g.id.sameInode(e.st) || g.reason == ReasonTruncated) {
			return false
		}
	}
	if settled && size == e.size {
		return true
	}
	return (e.packed && (s.first || s.shallow || s.history[e.st.inode()])) || s.before(e)
}

// foundAll reports whether every sought generation's inode is among what was found.
func (s *source) foundAll(found []entry) bool {
	return !slices.ContainsFunc(s.queue, func(g *generation) bool {
		return !g.sought.IsZero() && !slices.ContainsFunc(found, func(e entry) bool { return g.id.sameInode(e.st) })
	})
}

// unchanged reports whether the newest generation stands where it stood: then nothing
// was rotated, and what is packed was there before.
func (s *source) unchanged() bool {
	n := s.newest()
	return n != nil && !s.seeks() && n.number == s.highest && n.path == s.path
}

// packedBefore reports whether a packed file was written for the last time
// before the newest generation that was known at recovery.
func (s *source) packedBefore(e entry) bool {
	g := s.find(s.highest)
	return s.restored && e.packed && g != nil && g.body != nil && e.st.mtime < g.mtime && !s.newer(e.path, g.path)
}

// seeks reports whether any generation is sought.
func (s *source) seeks() bool {
	return slices.ContainsFunc(s.queue, func(g *generation) bool { return !g.sought.IsZero() })
}

// verify looks at everything that is held, and at what seems new, and reports whether any of it was overwritten.
func (s *source) verify(rest []entry, now time.Time) bool {
	if slices.ContainsFunc(rest, entry.cut) {
		s.wantScan()
		return true
	}
	for _, g := range slices.Concat(s.queue, s.late) {
		f, ok := g.body.(*os.File)
		if !ok {
			continue
		}
		if st, err := statFile(f); err == nil && g.overwritten(st, true) {
			s.overwritten(g, now)
			return true
		}
	}
	return false
}

// cut reports whether the file was overwritten since it was opened: then it was compared with what it no longer was.
func (e entry) cut() bool {
	f, ok := e.held.(*os.File)
	if !ok {
		return false
	}
	st, err := statFile(f)
	return err == nil && (st.size < e.st.size || !e.head.holds(f, int64(e.head.Len)))
}

// dropHeld leaves out what is held and notes what it is called now; what was not
// found has no name any more.
func (s *source) dropHeld(found []entry) []entry {
	paths := map[inode]string{}
	for _, e := range found {
		paths[e.st.inode()] = e.path
	}
	held := map[inode]bool{}
	for _, g := range slices.Concat(s.queue, s.late) {
		if g.sought.IsZero() {
			held[g.inode] = true
			g.path = paths[g.inode]
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(e entry) bool { return held[e.st.inode()] })
}

// bindSought gives sought generations their content, newest first: where one
// inode was cut and written again it is the newest that still stands in it.
func (s *source) bindSought(rest []entry, now time.Time) []entry {
	for _, content := range []bool{false, true} {
		for _, g := range slices.Backward(s.queue) {
			if g.sought.IsZero() {
				continue
			}
			for i, e := range rest {
				if s.bind(g, e, content, now) {
					rest = slices.Delete(rest, i, i+1)
					break
				}
			}
		}
	}
	return rest
}

// bind reads a sought generation on from the entry if that is it.
func (s *source) bind(g *generation, e entry, byContent bool, now time.Time) bool {
	if e.err != nil {
		if g.id.sameInode(e.st) {
			g.sought = now // it is there and cannot be read now
		}
		return false
	}
	if byContent && !s.telling(g, e) || !byContent && (e.packed || !g.id.sameInode(e.st)) {
		return false
	}
	if e.st.size < g.seen && g.reason == ReasonTruncated || e.st.size < g.read || !g.is(e.held) {
		return false
	}
	s.take(g, e, now)
	return true
}

// take reads a sought generation on from the entry.
func (s *source) take(g *generation, e entry, now time.Time) {
	delete(s.locked, e.st.inode())
	g.inode, g.path, g.packed = e.st.inode(), e.path, e.packed
	g.sought = time.Time{}
	g.attach(e.held)
	g.found(e.st, now)
	g.sees(e.st.size)
	if e.path == s.path {
		s.reached()
	}
}

// bindUnread finds the copy of a file that was cut before anything of it was
// read: the one that is new, as long, and begins as that did.
func (s *source) bindUnread(rest []entry, now time.Time) []entry {
	for _, g := range s.queue {
		if g.sought.IsZero() || g.number != 0 || g.reason != ReasonTruncated {
			continue
		}
		i := slices.IndexFunc(rest, func(e entry) bool {
			return e.err == nil && e.path != s.path && (s.related(e) || g.glimpse.Len >= tellingHead) &&
				e.st.size >= g.seen && g.glimpse.holds(e.held, int64(g.glimpse.Len))
		})
		if i >= 0 {
			s.take(g, rest[i], now)
			rest = slices.Delete(slices.Clone(rest), i, i+1)
		}
	}
	return rest
}

// telling reports whether the content alone may say that the entry is the
// generation: there must be enough of it, and more than a header that every file has.
// Where nothing was acknowledged, the identity's first bytes are all there is.
func (s *source) telling(g *generation, e entry) bool {
	if g.number == 0 || g.unproven() || max(g.id.HeadLen, g.glimpse.Len, g.guard.Len) < tellingHead {
		return false
	}
	return e.path != s.path || g.id.Device != e.st.dev || g.read >= checkBytes
}

// dropPast leaves out the siblings that are shipped already. One that has
// grown since is read on: a late writer.
func (s *source) dropPast(rest []entry, now time.Time) []entry {
	return slices.DeleteFunc(slices.Clone(rest), func(e entry) bool {
		if e.err != nil || !(s.isPast(e, now) || s.isCopy(e, rest)) {
			return false
		}
		s.settled[e.st.inode()] = e.size
		delete(s.locked, e.st.inode())
		return true
	})
}

// isCopy reports whether the entry has what a file has that is held, or that
// stands at the source's path. While that is so the copy is not needed; should the file be
// cut, the copy is looked at again. A file that was packed is left out the same way.
func (s *source) isCopy(e entry, rest []entry) bool {
	if e.path == s.path || e.st.size == 0 {
		return false
	}
	for _, g := range slices.Concat(s.queue, s.late) {
		f, ok := g.body.(*os.File)
		if !ok {
			continue
		}
		st, err := statFile(f)
		if err == nil && (g.path == s.path || e.packed) && e.copies(entry{st: st, held: f}) {
			return true
		}
	}
	return slices.ContainsFunc(rest, func(o entry) bool {
		return o.err == nil && !o.packed && (o.path == s.path || e.packed) && e.copies(o)
	})
}

// copies reports whether e has the beginning of o, all of it if e is packed. A plain
// copy is younger: an older file that begins alike is a generation before it.
func (e entry) copies(o entry) bool {
	if e.st.size > o.st.size || (e.packed && e.st.size != o.st.size) || (!e.packed && e.st.size < checkBytes && e.st.birth <= o.st.birth) {
		return false
	}
	return sameBytes(e.held, o.held, 0, min(e.st.size, headBytes)) &&
		sameBytes(e.held, o.held, max(0, e.st.size-checkBytes), e.st.size)
}

func sameBytes(a, b io.ReaderAt, from, to int64) bool {
	p, q := make([]byte, to-from), make([]byte, to-from)
	n, _ := a.ReadAt(p, from)
	m, _ := b.ReadAt(q, from)
	return n == len(p) && m == len(q) && bytes.Equal(p, q)
}
