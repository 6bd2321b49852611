package tail

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// reconcile matches what was found with what is known, in this order: what
// is held; what is sought, by inode and then by content; what is past. The rest are
// new generations, in the order in which they were made.
//
// Everything is opened before anything is concluded: if a name leads to
// another file by now the readings agreed too early, and all of it is done again.
func (s *source) reconcile(found []entry, now time.Time) {
	var opened []entry
	defer func() { s.settleHeld(opened) }()
	s.shallow = s.restored && !s.deep && s.foundAll(found)
	s.noteHistory(found)
	s.noteBeginning(found)
	s.notePast(found)
	opened, err := s.openAll(s.dropHeld(found))
	if err == nil && len(opened) > 0 && s.led(found) != s.leads() {
		err = errMoved // what the path leads to may be held, so it was not opened; it is the newest
	}
	if err != nil {
		s.wantScan()
		if errors.Is(err, errFull) {
			s.tailer.await(s)
		}
		return
	}
	rest := s.bindSought(slices.Clone(opened), now)
	if s.shallow && !s.unchanged() {
		s.deep = true // what is packed matters after all
		s.wantScan()
		return
	}
	rest = s.dropForgotten(s.dropPast(rest, now))
	rest = s.bindUnread(rest, now)
	if len(rest) > 0 && s.verify(rest, now) {
		return // what seems new may be a copy of what was cut this very moment
	}
	if s.shallow {
		s.settlePacked(found)
	}
	s.addNew(rest, now)
	s.restored, s.deep = false, false
	s.reconciled = true
	if !s.blind { // else nobody knows what is gone
		s.missLocked(found, now)
		s.pruneStems(found)
		s.prune(found)
	}
	s.depart()
	s.tailer.pruneOwners()
	for _, g := range s.queue {
		if !g.sought.IsZero() && g.reason == ReasonTruncated {
			g.sought = longAgo // a copy is made before the cut: it will not come any more
		}
	}
}

var (
	// errMoved says that a path leads to another file than it did.
	errMoved = errors.New("another file took its place")
	// errFull says that no more files may be open.
	errFull = errors.New("too many open files")
)

// led is the file that stood at the path when the directory was read, leads is the one that does now.
func (s *source) led(found []entry) inode {
	for _, e := range found {
		if e.path == s.path {
			return e.st.inode()
		}
	}
	return inode{}
}

func (s *source) leads() inode {
	st, err := statPath(s.path)
	if err != nil || !st.regular {
		return inode{}
	}
	return st.inode()
}

// openAll opens what is to be compared or read.
func (s *source) openAll(rest []entry) ([]entry, error) {
	plain := map[string]bool{}
	for _, e := range rest {
		plain[e.path] = true
	}
	var opened []entry
	for _, e := range rest {
		if name, _ := unpacked(e.path); e.packed && plain[name] {
			continue // it may not be complete; the file itself is there
		}
		if e.unread && s.before(e) {
			continue // it was opened when nobody knew yet that it is old
		}
		if e.held == nil {
			if s.needless(e) {
				continue
			}
			// Who holds a file lets it go when it has read the next: it may have one more, or all wait for each other.
			if !s.tailer.shed() && !s.holds() {
				return nil, errFull
			}
			e.held, e.st, e.err = s.openEntry(e)
			if errors.Is(e.err, errMoved) {
				return opened, e.err
			}
			if e.err == nil {
				s.tailer.loose[e.held] = struct{}{}
			}
		} else if st, err := statFile(e.held.(*os.File)); err == nil {
			e.st = st
		}
		e.head = headOf(e.held, e.st.size)
		opened = append(opened, e)
	}
	return opened, nil
}

// settleHeld closes what was opened and is read by nobody. What was held at
// recovery, or opened by a scan that is to be made again, is kept until everything was matched: it may be the only way to its bytes.
func (s *source) settleHeld(opened []entry) {
	s.held = slices.DeleteFunc(s.held, s.reads)
	if !s.reconciled {
		s.keep(opened)
	}
	if s.reconciled {
		for _, h := range s.held {
			h.held.Close()
		}
		s.held = nil
		s.tidyHeld()
	}
	s.reconciled = false
	s.tailer.closeLoose()
}

// keep holds the source's files that were opened until the next scan.
func (s *source) keep(opened []entry) {
	for _, e := range opened {
		_, is := s.tailer.loose[e.held]
		if f, ok := e.held.(*os.File); ok && is && s.related(e) {
			delete(s.tailer.loose, f)
			e.unread = true
			s.held = append(s.held, e)
		}
	}
}

// noteHistory remembers what was packed before the source was looked at for the first time.
func (s *source) noteHistory(found []entry) {
	for _, e := range found {
		if !s.first || !e.packed {
			continue
		}
		if s.history == nil {
			s.history = map[inode]bool{}
		}
		s.history[e.st.inode()] = true
	}
}

// settlePacked leaves out for good what was packed before the source was tailed.
func (s *source) settlePacked(found []entry) {
	for _, e := range found {
		if e.packed {
			s.settled[e.st.inode()] = e.size
		}
	}
}

// reads reports whether a generation reads an entry's file, the source's or the one's who
// has it now.
func (s *source) reads(e entry) (is bool) {
	check := func(g *generation) { is = is || g.body == e.held }
	s.each(check)
	if o := s.tailer.owners[e.st.inode()]; o != nil {
		o.each(check)
	}
	return is
}

// holds reports whether a file is open for the source.
func (s *source) holds() (is bool) {
	s.each(func(g *generation) { is = is || g.body != nil })
	return is
}

// closeLoose closes what was opened and is read by nobody.
func (t *Tailer) closeLoose() {
	for b := range t.loose {
		b.Close()
	}
	clear(t.loose)
}

func (s *source) openEntry(e entry) (body, stat, error) {
	if e.packed {
		b, st, err := openPacked(e.path)
		if err != nil {
			return nil, e.st, err
		}
		return b, st, moved(b, e.st, st)
	}
	f, st, err := openFile(e.path)
	switch {
	case isGone(err):
		return nil, e.st, errMoved
	case err != nil:
		return nil, e.st, err
	}
	return f, st, moved(f, e.st, st)
}

func moved(b body, was, is stat) error {
	if was.inode() == is.inode() {
		return nil
	}
	b.Close()
	return errMoved
}

// missLocked declares files lost that could not be read and are gone now.
func (s *source) missLocked(found []entry, now time.Time) {
	for i, e := range s.locked {
		if slices.ContainsFunc(found, func(f entry) bool { return f.st.inode() == i }) {
			continue
		}
		delete(s.locked, i)
		if e.packed {
			continue // its size says nothing of its content, and that was most likely shipped before it was packed
		}
		s.queue = slices.Insert(s.queue, 0, &generation{
			src: s, inode: i, path: e.path, length: -1, seen: e.st.size,
			grew: now, sought: longAgo, reason: ReasonUnreadable,
		})
	}
}

// addNew queues what nobody knows as new generations. A file that was cut and is not read
// yet takes its place among them by its new content.
func (s *source) addNew(rest []entry, now time.Time) {
	var news []*generation
	for _, e := range rest {
		switch {
		case !s.related(e) || s.isAnothers(e, now):
		case s.packedBefore(e) || s.history[e.st.inode()]:
			s.settled[e.st.inode()] = e.size
		case e.packed && errors.Is(e.err, errors.ErrUnsupported):
			s.settled[e.st.inode()] = e.size // nobody can tell what is in it; most likely it was shipped before
			s.tailer.log.Warn("packed file cannot be read: what of it was not shipped before is not shipped", "source", s.path, "err", e.err)
		case e.err != nil:
			s.lock(e, now)
		case e.st.size == 0 && e.path != s.path:
			s.awaitFilled(e, now)
		default:
			news = append(news, s.newGeneration(e, now))
		}
	}
	s.first = s.first && s.blind
	if len(news) == 0 {
		return
	}
	for n := s.newest(); n != nil && n.number == 0 && n.sought.IsZero() && (n.cut || n.path == s.path); n = s.newest() {
		news = append(news, n)
		s.queue = s.queue[:len(s.queue)-1]
	}
	s.queue = slices.DeleteFunc(s.queue, func(g *generation) bool {
		if !g.lost || g.number != 0 {
			return false
		}
		g.lost = false
		news = append(news, g)
		return true
	})
	slices.SortStableFunc(news, s.older)
	s.queue = append(s.queue, news...)
}

// awaitFilled leaves an empty sibling alone: it may be a copy that is being made. If
// it is new it is looked at again.
func (s *source) awaitFilled(e entry, now time.Time) {
	if age := now.Sub(time.Unix(0, e.st.mtime)); age >= 0 && age < 10*time.Second {
		s.rescan = now.Add(retry / 20)
	}
}

// lock remembers a file that cannot be read now, and that it is to be tried again.
func (s *source) lock(e entry, now time.Time) {
	s.locked[e.st.inode()] = e
	s.setFault(e.err)
	s.rescan = now.Add(retry)
}

func (s *source) newGeneration(e entry, now time.Time) *generation {
	delete(s.locked, e.st.inode())
	if e.path == s.path {
		s.reached()
	}
	g := &generation{src: s, inode: e.st.inode(), path: e.path, packed: e.packed, length: -1}
	g.attach(e.held)
	g.found(e.st, now)
	if e.path != s.path {
		g.filled = time.Time{} // what was moved away is not cut any more
	}
	g.sees(e.st.size)
	return g
}

// isAnothers reports whether the file belongs to the source that had it first.
func (s *source) isAnothers(e entry, now time.Time) bool {
	o := s.tailer.owners[e.st.inode()]
	if o == nil || o == s {
		return false
	}
	is := s.tailer.holds(e.st.inode()) || e.err == nil && e.st.birth != 0 && len(o.dropPast([]entry{e}, now)) == 0
	if is {
		s.alias = e.st.inode()
	}
	return is
}

// holds reports whether a source reads the file.
func (t *Tailer) holds(i inode) bool {
	o, is := t.owners[i], false
	if o != nil {
		o.each(func(g *generation) { is = is || g.inode == i })
	}
	return is
}

// reached notes that the source's own path could be opened.
func (s *source) reached() {
	if s.fault != "" {
		s.fault = ""
		s.tailer.log.Info("source can be read", "source", s.path)
	}
}

// older orders generations that were made since the last look by their time
// of last writing, which packing keeps: the birth of a file that was cut since says
// nothing of its content. The file at the source's own path is the newest.
func (s *source) older(a, b *generation) int {
	if (a.path == s.path) != (b.path == s.path) {
		if a.path == s.path {
			return 1
		}
		return -1
	}
	if a.mtime != b.mtime {
		return cmp.Compare(a.mtime, b.mtime)
	}
	if a.packed != b.packed { // its birth says nothing of its content either
		if a.packed {
			return -1
		}
		return 1
	}
	if a.inode.birth != b.inode.birth && !a.packed {
		return cmp.Compare(a.inode.birth, b.inode.birth)
	}
	return compareNames(filepath.Base(a.path), filepath.Base(b.path))
}
