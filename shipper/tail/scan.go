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

// agreeTries bounds how often a scan is repeated until two agree; then the
// next look goes on with it.
const agreeTries = 8

// scanSiblings reads the directories of the source until two readings agree:
// a rotation that renames a row of files is seen either before or after.
func (s *source) scanSiblings(now time.Time) {
	last, err := s.list()
	for range agreeTries {
		if err != nil {
			break
		}
		var next []entry
		if next, err = s.list(); err == nil && slices.EqualFunc(last, next, sameEntry) {
			s.scan = false
			s.reconcile(next, now)
			return
		}
		last = next
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.setFault(err)
	}
}

func sameEntry(a, b entry) bool { return a.path == b.path && a.st.inode() == b.st.inode() }

// list returns the regular files that may be generations of the source. While a
// generation is sought, every file beside them may be it under a new name.
func (s *source) list() ([]entry, error) {
	var found []entry
	seeks := s.seeks()
	seen := map[string]bool{}
	for _, p := range append([]string{s.path}, s.stems...) {
		dir, base := filepath.Split(p)
		names, err := readNames(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			path := dir + name
			if seen[path] || (name != base && !isSibling(name, base) && !seeks) {
				continue
			}
			seen[path] = true
			st, err := statPath(path)
			if err != nil || !st.regular {
				continue
			}
			_, packed := unpacked(name)
			found = append(found, entry{path: path, st: st, packed: packed && path != s.path})
		}
	}
	return found, nil
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// seeks reports whether the content of any generation is sought.
func (s *source) seeks() bool {
	return slices.ContainsFunc(s.queue, func(g *generation) bool { return !g.sought.IsZero() })
}

// related reports whether the entry's name says that it belongs to the source.
func (s *source) related(e entry) bool {
	for _, p := range append([]string{s.path}, s.stems...) {
		if e.path == p || (filepath.Dir(e.path) == filepath.Dir(p) && isSibling(filepath.Base(e.path), filepath.Base(p))) {
			return true
		}
	}
	return e.held != nil
}

// reconcile matches what was found with what is known, in this order: what
// is held; what is sought, by inode and then by content; what is past. The rest are
// new generations, in the order in which they were made.
func (s *source) reconcile(found []entry, now time.Time) {
	rest := s.dropHeld(found)
	rest = s.bindSought(rest, now)
	rest = s.dropPast(rest, now)
	s.addNew(rest, now)
	for _, g := range slices.Clone(s.queue) {
		if !g.sought.IsZero() && g.reason == ReasonTruncated {
			g.sought = time.Unix(0, 1) // the copy is made before the cut: it will not come any more
		}
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
	if e.held != nil {
		g.body = b
	} else {
		g.attach(b)
	}
	g.look(st, now)
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
		s.scan = true
		return nil, stat{}, fs.ErrNotExist
	}
	return f, st, nil
}

// dropPast leaves out the siblings that are shipped already. One that has
// grown since is read on: a late writer.
func (s *source) dropPast(rest []entry, now time.Time) []entry {
	return slices.DeleteFunc(rest, func(e entry) bool {
		if size, ok := s.settled[e.st.inode()]; ok && size == e.st.size && e.held == nil {
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
		inode := g.id.sameInode(e.st)
		if !inode && g.guard.Len == 0 {
			continue
		}
		b, st, err := s.openEntry(e)
		if err != nil {
			return false
		}
		same := st.size >= g.read && g.id.sameHead(b) && g.guard.holds(b, g.read)
		if same && inode && st.size > g.read {
			s.past = slices.Delete(s.past, i, i+1)
			g.inode, g.path = e.st.inode(), e.path
			g.attach(b)
			g.look(st, now)
			s.late = append(s.late, g)
			return true
		}
		b.Close()
		if same && (inode || st.size == g.read) {
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

func (s *source) newGeneration(e entry, now time.Time) *generation {
	b, st, err := s.openEntry(e)
	if err != nil {
		s.setFault(err)
		s.rescan = now.Add(retry)
		return nil
	}
	if e.path == s.path {
		s.clearFault()
		s.addStem()
	}
	g := &generation{src: s, inode: e.st.inode(), path: e.path, packed: e.packed, length: -1, grew: now}
	if e.held != nil {
		g.body = b
	} else {
		g.attach(b)
	}
	g.look(st, now)
	return g
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
