package tail

import (
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// errNoRoom says why a source is not begun.
var errNoRoom = errors.New("the host has too many sources already; it waits until others are finished")

// Used tells which generation numbers were used up by sources that are forgotten: new generations get higher ones.
func (t *Tailer) Used(number uint64) { t.used = max(t.used, number) }

// Forget says of at most so many sources that they are finished, and forgets them, those first that have been so for longest. A source is
// finished when its file is gone and was not moved to another name that is looked at, nothing of it is held, and the hub has every byte of
// it. Should its path come back, it is a new source; a file that was moved out of all sight and comes back is shipped once more.
//
// Only with Once is a source forgotten at first sight, else after Linger. It reports whether there are more.
func (t *Tailer) Forget(b *Batch, lim Limits, most int) (more bool) {
	if t.searching || t.waits {
		return false // the search may just have found it
	}
	now := time.Now()
	gone := map[*source]bool{}
	waiting := false
	for _, s := range t.finished(now) {
		if b.mentions(s.path) { // the Forget would be read first, and the source come back by what is said of it
			waiting = true
			continue
		}
		if more = len(gone) == most || b.headers+forgetHeader(s.path) > lim.HeaderBytes; more {
			break
		}
		nowhere, later := s.isNowhere(now)
		if more = later; later {
			break // its directory is not to be read again already
		}
		if !nowhere {
			s.finishedAt = time.Time{}
			continue
		}
		b.forget(Finished{Source: s.path, Generation: s.highest})
		t.Used(s.highest)
		gone[s] = true
	}
	t.drop(gone)
	return more || waiting
}

// finished is what seems to be finished for long enough, longest first.
func (t *Tailer) finished(now time.Time) []*source {
	elsewhere := map[inode]bool{} // at another source's path
	for _, s := range t.list {
		if s.alias != (inode{}) {
			elsewhere[s.alias] = true
		}
	}
	var list []*source
	for _, s := range t.list {
		switch {
		case !s.isFinished(elsewhere):
			s.finishedAt = time.Time{}
			continue
		case s.finishedAt.IsZero():
			s.finishedAt = now
		}
		if t.cfg.Once || now.Sub(s.finishedAt) >= t.cfg.Linger {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *source) int {
		return cmp.Or(a.finishedAt.Compare(b.finishedAt), cmp.Compare(a.path, b.path))
	})
	return list
}

// isFinished reports whether nothing is read, held, sought or awaited, and all is acknowledged, as far as memory tells.
func (s *source) isFinished(elsewhere map[inode]bool) bool {
	if s.highest == 0 || len(s.queue)+len(s.late)+len(s.held)+len(s.locked) > 0 || s.scan || s.waiting || s.blind || !s.rescan.IsZero() {
		return false
	}
	return !slices.ContainsFunc(s.past, func(g *generation) bool {
		return g.acked < g.length || g.unsaid || elsewhere[g.inode] || elsewhere[inode{g.id.Device, g.id.Inode, g.id.Birth}]
	})
}

// isNowhere looks whether the source's file is gone: no path where it stood, no name that rotation gives, no link on it. A file system that is not
// mounted now has not lost its files. later: it can only be told later.
func (s *source) isNowhere(now time.Time) (is, later bool) {
	if h := s.tailer.holder; h != nil && len(h.links[sourceKey(s.path)]) > 0 {
		return false, false
	}
	if _, err := statPath(s.path); !isGone(err) {
		return false, false
	}
	s.since = now
	found, state, err := s.entries()
	return err == nil && len(found) == 0 && s.isMounted(), err == nil && state == notYet
}

// isMounted reports whether the file system of the newest generation is there, where the source stood: what is left of the way leads onto it.
func (s *source) isMounted() (is bool) {
	g := s.find(s.highest)
	if g == nil {
		return false
	}
	s.around(func(dir, _ string) error {
		device, ok := deviceOf(filepath.Clean(dir))
		is = is || ok && device == g.id.Device
		return nil
	})
	return is
}

// deviceOf is the device of a directory, or of the nearest that is left above it.
func deviceOf(dir string) (uint64, bool) {
	st, err := statPath(dir)
	for ; isGone(err) && dir != filepath.Dir(dir); st, err = statPath(dir) {
		dir = filepath.Dir(dir)
	}
	return st.dev, err == nil
}

// drop forgets sources that hold nothing.
func (t *Tailer) drop(gone map[*source]bool) {
	if len(gone) == 0 {
		return
	}
	is := func(s *source) bool { return gone[s] }
	for s := range gone {
		delete(t.sources, s.path)
		delete(t.finder.reported, s.path)
		if t.holder != nil {
			delete(t.holder.links, sourceKey(s.path))
		}
	}
	t.list, t.busy = slices.DeleteFunc(t.list, is), slices.DeleteFunc(t.busy, is)
	t.changed = slices.DeleteFunc(t.changed, func(g *generation) bool { return gone[g.src] })
	maps.DeleteFunc(t.owners, func(_ inode, s *source) bool { return gone[s] })
	maps.DeleteFunc(t.stems, func(_ string, s *source) bool { return gone[s] })
}

// putOff leaves a source alone that must not be begun. Nothing was said of it: its files are found again when there is room, or in the directory of
// those that are held.
func (s *source) putOff() {
	s.setFault(errNoRoom)
	s.each(func(g *generation) {
		s.settled[g.inode] = -1
		s.tailer.refused[s] = append(s.tailer.refused[s], g.inode)
		g.close()
	})
	s.queue, s.late = nil, nil
}

// admitRefused begins the sources that were put off, some at a time.
func (t *Tailer) admitRefused() {
	n := 0
	for s, inodes := range t.refused {
		if n++; n > admitted {
			return
		}
		for _, i := range inodes {
			delete(s.settled, i)
		}
		delete(t.refused, s)
		s.wantScan()
		t.await(s)
	}
}
