package tail

import (
	"path/filepath"
	"slices"
	"time"
)

// entry is a file that a scan found where the source's generations may be.
type entry struct {
	path   string
	st     stat  // of the content, if it is packed and open
	size   int64 // of the file itself
	packed bool
	held   body  // open
	head   Check // of its beginning, when it was opened
	unread bool  // of what is held: nothing was ever said of it
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
	if real, err := filepath.EvalSymlinks(s.path); err == nil {
		s.addStem(real) // what a link leads to is rotated over there
	}
	var last []entry
	for range agreeTries {
		found, state, err := s.entries()
		if s.blind = err != nil; s.blind {
			s.setFault(err)
			s.rescan = now.Add(retry)
			s.scan, s.scanned = false, s.since
			s.reconcile(s.joinHeld(nil), now)
			return
		}
		if state == notYet {
			return
		}
		if state == unchanged || (last != nil && slices.EqualFunc(last, found, sameEntry)) {
			s.scan, s.scanned = false, s.since
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
		case isGone(err):
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
	return append(found, entry{path: path, st: st, size: st.size, packed: packed && path != s.path})
}

// joinHeld puts what was held at recovery in the place of what was found of
// it; the rest of it has no name any more.
func (s *source) joinHeld(found []entry) []entry {
	for _, h := range s.held {
		i := slices.IndexFunc(found, func(e entry) bool { return e.st.inode() == h.st.inode() })
		if i < 0 {
			h.path = ""
			found = append(found, h)
		} else {
			found[i].held, found[i].unread = h.held, h.unread
		}
	}
	return found
}

// related reports whether the entry belongs to the source, by its name or
// because it was held for it. One that was opened only because a lost file had its number may be
// anybody's: numbers are used again at once.
func (s *source) related(e entry) bool {
	_, opened := s.tailer.loose[e.held]
	ok := e.held != nil && !opened || (s.tailer.holder != nil && filepath.Dir(e.path) == s.tailer.cfg.HoldDir)
	s.around(func(dir, base string) error {
		d, name := filepath.Split(e.path)
		ok = ok || (d == dir && (name == base || isSibling(name, base)))
		return nil
	})
	return ok
}
