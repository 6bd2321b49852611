package tail

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// entry is a file that a scan found where the source's generations may be.
type entry struct {
	path   string
	st     stat
	packed bool
	held   body  // open
	err    error // why it is not
}

// longAgo marks what is sought no longer.
var longAgo = time.Unix(0, 1)

// agreeTries bounds how often a scan is repeated until two agree; then the
// next look goes on with it.
const agreeTries = 8

// scanSiblings reads the directories of the source until two readings agree:
// a rotation that renames a row of files is seen either before or after. One reading
// will do where the directory tells that nothing changed since.
func (s *source) scanSiblings(now time.Time) {
	var last []entry
	for range agreeTries {
		found, state, err := s.entries()
		if err != nil {
			s.setFault(err)
			s.rescan = now.Add(retry)
			found, state = nil, listed
		}
		if state == notYet {
			return
		}
		if state == unchanged || (last != nil && slices.EqualFunc(last, found, sameEntry)) {
			s.scan = false
			s.reconcile(found, now)
			return
		}
		last, s.since = append(found, entry{})[:len(found)], time.Now()
	}
}

func sameEntry(a, b entry) bool { return a.path == b.path && a.st.inode() == b.st.inode() }

type listState int

const (
	notYet    listState = iota // the directory is not to be read again already
	listed                     // read, but it may be changing
	unchanged                  // read, and not changed until after every file was looked at
)

// entries returns the files that may be generations of the source, each once,
// under its own path first, then beside it, then where it is held.
func (s *source) entries() ([]entry, listState, error) {
	var found []entry
	var lists []*listing
	state := unchanged
	err := s.around(func(dir, base string) error {
		li, err := s.tailer.lister.read(dir, s.since)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case li == nil:
			state = notYet
			return nil
		}
		lists = append(lists, li)
		found = s.collect(found, li, base)
		return nil
	})
	if err != nil || state == notYet {
		return nil, state, err
	}
	for _, li := range lists {
		if !li.current() {
			state = listed
		}
	}
	if s.tailer.holder != nil {
		for _, p := range s.tailer.holder.links[sourceKey(s.path)] {
			found = s.collectPath(found, p)
		}
	}
	return s.joinHeld(found), state, nil
}

// collect adds what a directory has: the file itself, what its rotation left,
// and, where a generation is sought, files of its number and possible copies.
func (s *source) collect(found []entry, li *listing, base string) []entry {
	found = s.collectPath(found, li.dir+base)
	for _, name := range li.siblings[base] {
		found = s.collectPath(found, li.dir+name)
	}
	for _, g := range s.queue {
		if g.sought.IsZero() {
			continue
		}
		for _, name := range li.numbered(fileNumber{g.id.Device, g.id.Inode}) {
			found = s.collectPath(found, li.dir+name)
		}
		if g.reason == ReasonTruncated {
			for _, name := range li.prefixed(base) {
				found = s.collectPath(found, li.dir+name)
			}
		}
	}
	return found
}

func (s *source) collectPath(found []entry, path string) []entry {
	st, err := statPath(path)
	if err != nil || !st.regular || slices.ContainsFunc(found, func(e entry) bool { return e.st.inode() == st.inode() }) {
		return found
	}
	_, packed := unpacked(path)
	return append(found, entry{path: path, st: st, packed: packed && path != s.path})
}

// joinHeld puts what was held at recovery in the place of what was found of
// it; the rest of it has no name any more.
func (s *source) joinHeld(found []entry) []entry {
	for _, h := range s.held {
		i := slices.IndexFunc(found, func(e entry) bool { return e.st.inode() == h.st.inode() })
		if i < 0 {
			found = append(found, h)
		} else {
			found[i].held = h.held
		}
	}
	return found
}

// related reports whether the entry belongs to the source, by its name or
// because it was held for it.
func (s *source) related(e entry) bool {
	ok := e.held != nil || (s.tailer.holder != nil && filepath.Dir(e.path) == s.tailer.cfg.HoldDir)
	s.around(func(dir, base string) error {
		d, name := filepath.Split(e.path)
		ok = ok || (d == dir && (name == base || isSibling(name, base)))
		return nil
	})
	return ok
}

// reconcile matches what was found with what is known, in this order: what
// is held; what is sought, by inode and then by content; what is past. The rest are
// new generations, in the order in which they were made.
//
// Everything is opened before anything is concluded: if a name leads to
// another file by now the readings agreed too early, and all of it is done again.
func (s *source) reconcile(found []entry, now time.Time) {
	defer s.tailer.closeLoose()
	rest, err := s.openAll(s.dropHeld(found))
	if err != nil {
		if errors.Is(err, errMoved) {
			s.wantScan()
		} else {
			s.wantScan()
			s.tailer.await(s)
		}
		return
	}
	for _, h := range s.held {
		s.tailer.loose[h.held] = struct{}{}
	}
	s.held = nil
	rest = s.bindSought(rest, now)
	rest = s.dropPast(rest, now)
	rest = s.bindUnread(rest, now)
	if len(rest) > 0 && s.verify(now) {
		return // what seems new may be a copy of what was cut this very moment
	}
	s.addNew(rest, now)
	s.missLocked(found, now)
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
		if e.held == nil {
			if s.needless(e) {
				continue
			}
			if !s.tailer.shed() {
				return nil, errFull
			}
			e.held, e.st, e.err = s.openEntry(e)
			if errors.Is(e.err, errMoved) {
				return nil, e.err
			}
			if e.err == nil {
				s.tailer.loose[e.held] = struct{}{}
			}
		} else if st, err := statFile(e.held.(*os.File)); err == nil {
			e.st = st
		}
		opened = append(opened, e)
	}
	return opened, nil
}

// closeLoose closes what was opened and is read by nobody.
func (t *Tailer) closeLoose() {
	for b := range t.loose {
		b.Close()
	}
	clear(t.loose)
}

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
	if settled && size == e.st.size {
		return true
	}
	return (e.packed && s.first) || s.before(e)
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
	case errors.Is(err, fs.ErrNotExist):
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
		s.queue = slices.Insert(s.queue, 0, &generation{
			src: s, inode: i, path: e.path, length: -1, seen: e.st.size,
			grew: now, sought: longAgo, reason: ReasonUnreadable,
		})
	}
}

// verify looks at everything that is held and reports whether any of it was overwritten.
func (s *source) verify(now time.Time) bool {
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
			return e.err == nil && e.path != s.path && s.related(e) &&
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
func (s *source) telling(g *generation, e entry) bool {
	if g.number == 0 || g.guard.Len == 0 || max(g.id.HeadLen, g.glimpse.Len, g.guard.Len) < tellingHead {
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
		s.settled[e.st.inode()] = e.st.size
		return true
	})
}

func (s *source) isPast(e entry, now time.Time) bool {
	for i, g := range slices.Backward(s.past) {
		byInode := g.id.sameInode(e.st)
		if !byInode && (g.guard.Len == 0 || max(g.id.HeadLen, g.glimpse.Len, g.guard.Len) < tellingHead || e.st.size != g.read) {
			continue
		}
		if e.st.size < g.read || !g.is(e.held) {
			continue
		}
		if byInode && e.st.size > g.read {
			s.past = slices.Delete(s.past, i, i+1)
			s.resume(g, e, now)
		}
		return true
	}
	return false
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
	if e.st.size > o.st.size || (e.packed && e.st.size != o.st.size) || (!e.packed && e.st.birth <= o.st.birth) {
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

// resume reads an ended generation on that has grown.
func (s *source) resume(g *generation, e entry, now time.Time) {
	g.inode, g.path = e.st.inode(), e.path
	g.attach(e.held)
	g.look(e.st, now)
	g.sees(e.st.size)
	s.late = append(s.late, g)
	s.tailer.stir(s)
}

// before reports whether the entry was written for the last time before the
// newest known generation began: it was there before the source was tailed.
func (s *source) before(e entry) bool {
	return s.began != 0 && e.st.mtime < s.began && e.held == nil
}

// addNew queues what nobody knows as new generations. A file that was cut and is not read
// yet takes its place among them by its new content.
func (s *source) addNew(rest []entry, now time.Time) {
	var news []*generation
	for _, e := range rest {
		switch {
		case !s.related(e) || s.isAnothers(e, now):
		case e.err != nil:
			s.lock(e, now)
		case e.st.size == 0 && e.path != s.path:
			s.awaitFilled(e, now)
		default:
			news = append(news, s.newGeneration(e, now))
		}
	}
	s.first = false
	if len(news) == 0 {
		return
	}
	for n := s.newest(); n != nil && n.number == 0 && n.sought.IsZero() && (n.cut || n.path == s.path); n = s.newest() {
		news = append(news, n)
		s.queue = s.queue[:len(s.queue)-1]
	}
	slices.SortStableFunc(news, s.older)
	s.queue = append(s.queue, news...)
}

// awaitFilled leaves an empty sibling alone: it may be a copy that is being made. If
// it is new it is looked at again.
func (s *source) awaitFilled(e entry, now time.Time) {
	if now.UnixNano()-e.st.mtime < int64(10*time.Second) {
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
	g.sees(e.st.size)
	return g
}

// isAnothers reports whether the file belongs to the source that had it first.
func (s *source) isAnothers(e entry, now time.Time) bool {
	o := s.tailer.owners[e.st.inode()]
	if o == nil || o == s {
		return false
	}
	if s.tailer.holds(e.st.inode()) {
		s.alias = e.st.inode()
		return true
	}
	return e.err == nil && e.st.birth != 0 && len(o.dropPast([]entry{e}, now)) == 0
}

// holds reports whether a source reads the file.
func (t *Tailer) holds(i inode) bool {
	o, is := t.owners[i], false
	if o != nil {
		o.each(func(g *generation) { is = is || g.inode == i })
	}
	return is
}

// reached notes that the source's own path could be opened, and where it leads.
func (s *source) reached() {
	if s.fault != "" {
		s.fault = ""
		s.tailer.log.Info("source can be read", "source", s.path)
	}
	if real, err := filepath.EvalSymlinks(s.path); err == nil {
		s.addStem(real)
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
	if c := cmp.Or(cmp.Compare(a.mtime, b.mtime), cmp.Compare(a.inode.birth, b.inode.birth)); c != 0 {
		return c
	}
	return compareNames(filepath.Base(a.path), filepath.Base(b.path))
}
