package tail

import (
	"cmp"
	"errors"
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
	held   body // it was open already
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
func (s *source) reconcile(found []entry, now time.Time) {
	rest := s.dropHeld(found)
	rest = s.bindSought(rest, now)
	rest = s.dropPast(rest, now)
	s.addNew(rest, now)
	s.missLocked(found, now)
	s.closeHeld()
	for _, g := range s.queue {
		if !g.sought.IsZero() && g.reason == ReasonTruncated {
			g.sought = longAgo // a copy is made before the cut: it will not come any more
		}
	}
}

// closeHeld closes what was held at recovery and is of no use.
func (s *source) closeHeld() {
	for _, h := range s.held {
		used := false
		s.each(func(g *generation) { used = used || g.body == h.held })
		if !used {
			h.held.Close()
		}
	}
	s.held = nil
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

func (s *source) dropHeld(found []entry) []entry {
	held := map[inode]*generation{}
	for _, g := range slices.Concat(s.queue, s.late) {
		if g.sought.IsZero() {
			held[g.inode] = g
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(e entry) bool {
		g := held[e.st.inode()]
		if g != nil {
			g.path = e.path
		}
		return g != nil
	})
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
	if e.packed && !byContent {
		return false
	}
	if !byContent && !g.id.sameInode(e.st) {
		return false
	}
	if byContent && !s.telling(g, e) {
		return false
	}
	b, st, err := s.openEntry(e)
	if err != nil {
		return false
	}
	if st.size < g.read || !g.id.sameHead(b) || !g.guard.holds(b, g.read) {
		if e.held == nil {
			b.Close()
		}
		return false
	}
	g.inode, g.path, g.packed = e.st.inode(), e.path, e.packed
	g.sought = time.Time{}
	g.attach(b)
	g.look(st, now)
	if e.path == s.path {
		s.reached()
	}
	return true
}

// telling reports whether the content alone may say that the entry is the
// generation: there must be enough of it, and more than a header that every file has.
func (s *source) telling(g *generation, e entry) bool {
	if g.number == 0 || g.id.HeadLen < tellingHead || g.guard.Len == 0 || g.read < tellingHead {
		return false
	}
	return e.packed || g.id.Device != e.st.dev || g.reason == ReasonTruncated || g.read >= checkBytes
}

func (s *source) openEntry(e entry) (body, stat, error) {
	if f, ok := e.held.(*os.File); ok {
		st, err := statFile(f)
		return f, st, err
	}
	if e.packed {
		return openPacked(e.path)
	}
	f, st, err := openFile(e.path)
	if err != nil {
		return nil, stat{}, err
	}
	if st.inode() != e.st.inode() {
		f.Close()
		s.wantScan()
		return nil, stat{}, fs.ErrNotExist
	}
	return f, st, nil
}

// dropPast leaves out the siblings that are shipped already. One that has
// grown since is read on: a late writer.
func (s *source) dropPast(rest []entry, now time.Time) []entry {
	return slices.DeleteFunc(rest, func(e entry) bool {
		if size, ok := s.settled[e.st.inode()]; ok && (size == e.st.size || size < 0) && e.held == nil {
			return true
		}
		if !s.isPast(e, now) {
			return false
		}
		s.settled[e.st.inode()] = e.st.size
		return true
	})
}

func (s *source) isPast(e entry, now time.Time) bool {
	if e.packed && s.first {
		return true
	}
	for i, g := range slices.Backward(s.past) {
		byInode := g.id.sameInode(e.st)
		if !byInode && (g.guard.Len == 0 || (!e.packed && e.st.size != g.read)) {
			continue
		}
		b, st, err := s.openEntry(e)
		if err != nil {
			return false
		}
		same := st.size >= g.read && g.id.sameHead(b) && g.guard.holds(b, g.read)
		if same && byInode && st.size > g.read {
			s.past = slices.Delete(s.past, i, i+1)
			g.inode, g.path = e.st.inode(), e.path
			g.attach(b)
			g.look(st, now)
			s.late = append(s.late, g)
			s.tailer.stir(s)
			return true
		}
		if e.held == nil {
			b.Close()
		}
		if same && (byInode || st.size == g.read) {
			return true
		}
	}
	return s.before(e)
}

// before reports whether the entry was written for the last time before the
// newest known generation began: it was there before the source was tailed.
func (s *source) before(e entry) bool {
	return s.began != 0 && e.st.mtime < s.began && e.held == nil
}

// addNew queues what nobody knows as new generations.
func (s *source) addNew(rest []entry, now time.Time) {
	exists := map[string]bool{}
	for _, e := range rest {
		exists[e.path] = true
	}
	slices.SortStableFunc(rest, s.older)
	var last []*generation
	if n := s.newest(); n != nil && n.path == s.path && !slices.ContainsFunc(rest, func(e entry) bool { return e.path == s.path }) {
		last = []*generation{n}
		s.queue = s.queue[:len(s.queue)-1]
	}
	for _, e := range rest {
		plain, _ := unpacked(e.path)
		if !s.related(e) || (e.packed && exists[plain]) {
			continue // while the file is there, what is being packed beside it says nothing new
		}
		if g := s.newGeneration(e, now); g != nil {
			s.queue = append(s.queue, g)
		}
	}
	s.queue = append(s.queue, last...)
	s.first = false
}

// newGeneration opens a file that nobody knows. It is nil where another source has it
// or it cannot be opened now.
func (s *source) newGeneration(e entry, now time.Time) *generation {
	if s.isAnothers(e, now) {
		return nil
	}
	if e.held == nil && !s.tailer.shed() {
		s.rescan = now.Add(retry / 20)
		return nil
	}
	b, st, err := s.openEntry(e)
	if err != nil {
		s.locked[e.st.inode()] = e
		s.setFault(err)
		s.rescan = now.Add(retry)
		return nil
	}
	delete(s.locked, e.st.inode())
	if e.path == s.path {
		s.reached()
	}
	g := &generation{src: s, inode: e.st.inode(), path: e.path, packed: e.packed, length: -1, grew: now}
	g.attach(b)
	g.look(st, now)
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
	return e.st.birth != 0 && len(o.dropPast([]entry{e}, now)) == 0
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

// older orders generations that were made since the last look: by birth, a
// packed one by its time of last writing, which packing keeps. The file at the
// source's own path is the newest.
func (s *source) older(a, b entry) int {
	if (a.path == s.path) != (b.path == s.path) {
		if a.path == s.path {
			return 1
		}
		return -1
	}
	if c := cmp.Compare(a.made(), b.made()); c != 0 {
		return c
	}
	return compareNames(filepath.Base(a.path), filepath.Base(b.path))
}

func (e entry) made() int64 {
	if e.packed || e.st.birth == 0 {
		return e.st.mtime
	}
	return e.st.birth
}
