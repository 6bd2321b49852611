package tail

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// source is a log file as the user knows it, with its generations: past ones
// that are ended and let go, late ones that are ended and still held, and the
// queue of those to read, oldest first.
type source struct {
	tailer *Tailer
	path   string
	judged bool // false: found in a directory, tailed only if it is text

	highest  uint64 // number given last
	lowest   uint64 // that the chain knew at recovery; 0: none
	queue    []*generation
	late     []*generation
	past     []*generation
	held     []entry         // files held when positions were recovered, until the next scan
	settled  map[inode]int64 // siblings that need nothing while they keep their size; -1: whatever it is
	locked   map[inode]entry // files that may not be read
	stems    []string        // paths the source was seen to stand for; rotation may happen there
	alias    inode           // another source's file that stands at the path
	first    bool            // nothing is known of it yet: what was packed before is not shipped
	history  map[inode]bool  // that, while the chain knows nothing of the source
	linked   inode           // file at the path that is held although it could not be opened
	standing []string        // where known generations stand, in the scan under way
	began    int64           // birth of the oldest generation known at recovery

	restored bool // generations were recovered and no scan was completed since
	shallow  bool // what is packed is not looked into in this scan
	deep     bool // it is, after all
	// reconciled: the scan came to its end, everything found was matched.
	reconciled bool

	looked  time.Time
	blind   bool      // the directory could not be read
	scan    bool      // the directory is to be read
	since   time.Time // by a reading that began after this
	scanned time.Time // the directory was read after this
	rescan  time.Time // when to try again after something could not be read
	busy    bool      // looked at on every tick
	waiting bool      // to be opened when there is room
	watched bool      // idle, and a watch tells of the next write
	fault   string

	finishedAt time.Time // since when it seems to be
}

// current is the generation that is read now.
func (s *source) current() *generation {
	if len(s.queue) == 0 {
		return nil
	}
	return s.queue[0]
}

// newest is the generation that stood at the source's path when last seen.
func (s *source) newest() *generation {
	if len(s.queue) == 0 {
		return nil
	}
	return s.queue[len(s.queue)-1]
}

// visit looks at a source if it is time to and takes what it has.
func (s *source) visit(b *Batch, lim Limits, now time.Time) int {
	if s.due(now) {
		s.rescan = time.Time{}
		s.wantScan()
	}
	if now.Sub(s.looked) >= s.tailer.cfg.Tick {
		s.look(now)
	}
	if s.scan {
		s.scanSiblings(now)
	}
	said := s.fill(b, lim, now) + s.serveLate(b, lim, now)
	s.notice(now)
	return said
}

// notice remembers how long those are that nothing could be read of now: they may be cut before their turn comes.
// That the beginning is still what it was after the size was taken says that the size is the generation's.
func (s *source) notice(now time.Time) {
	s.each(func(g *generation) {
		switch {
		case g.body == nil || g.packed || !g.sought.IsZero() || g.size <= max(g.seen, g.read):
		case g.intact():
			g.sees(g.size)
		default:
			s.overwritten(g, now)
		}
	})
}

// look finds out what happened to the source: growth, rotation, truncation.
func (s *source) look(now time.Time) {
	s.looked = now
	st, err := statPath(s.path)
	if err == nil && !st.regular {
		err = &fs.PathError{Op: "tail", Path: s.path, Err: errors.New("not a regular file")}
	}
	g := s.newest()
	if g != nil && (err != nil || g.inode != st.inode()) {
		s.lookHeld(g, now)
		g = s.newest()
		if err == nil || isGone(err) {
			s.lookForClosed(g, now)
		}
	}
	if err != nil {
		s.lookedInVain(err, now)
		return
	}
	switch {
	case g != nil && g.inode == st.inode() && (g.sought.IsZero() || g.path == s.path):
		s.lookAt(g, st, now)
	case s.pending(st.inode()):
	case st.inode() == s.alias && s.tailer.holds(s.alias):
	default:
		if size, ok := s.settled[st.inode()]; !ok || (size != st.size && size >= 0) {
			s.wantScan()
		}
	}
}

// pending reports whether a file is known that may not be read; a scan tries again.
func (s *source) pending(i inode) bool {
	_, ok := s.locked[i]
	return ok && !s.rescan.IsZero()
}

func (s *source) wantScan() {
	s.scan, s.since = true, time.Now()
}

// lookedInVain handles a path that cannot be reached. What is held is read on.
func (s *source) lookedInVain(err error, now time.Time) {
	gone := isGone(err)
	if !gone || (s.highest == 0 && len(s.queue) == 0 && s.judged) {
		s.setFault(err)
	}
	if gone && now.Sub(s.since) >= retry {
		s.wantScan() // what was rotated away may be there, and no successor yet
	}
}

// isGone reports whether nothing stands at a path: not even its directory, or a file in the place of that.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// lookAt compares a generation with what its file is now.
func (s *source) lookAt(g *generation, st stat, now time.Time) {
	if g.overwritten(st, false) {
		s.overwritten(g, now)
		return
	}
	if g.body == nil && g.sought.IsZero() && (st.size > g.read || st.mtime != g.mtime) {
		s.reopen(g, now)
		return
	}
	g.look(st, now)
}

// lookHeld looks at a generation that does not stand at the source's path.
func (s *source) lookHeld(g *generation, now time.Time) {
	f, ok := g.body.(*os.File)
	if !ok {
		return
	}
	if st, err := statFile(f); err == nil {
		s.lookAt(g, st, now)
	}
}

// lookForClosed seeks a generation that was closed because it was idle, and whose path leads elsewhere by now: it may have grown since,
// and its successor waits for it.
func (s *source) lookForClosed(g *generation, now time.Time) {
	if g.body != nil || !g.sought.IsZero() {
		return
	}
	g.attended = s.attends(g, now)
	g.sought, g.reason = now, ReasonDeleted
	s.wantScan()
}

// attends reports whether the generation was looked at, or watched, until now.
func (s *source) attends(g *generation, now time.Time) bool {
	return s.watched || now.Sub(g.seenAt) < retry+s.tailer.period()
}

// reopen opens an idle generation that has grown. If another file took its
// place meanwhile the scan finds out.
func (s *source) reopen(g *generation, now time.Time) {
	f, is, err := openFile(s.path)
	if err != nil {
		s.setFault(err)
		return
	}
	if is.inode() != g.inode {
		f.Close()
		s.wantScan()
		return
	}
	g.attach(f)
	if !g.intact() {
		s.overwritten(g, now)
		return
	}
	g.look(is, now)
}

// overwritten starts the next generation in the same file. The bytes of g that
// were not read are sought in a copy (copytruncate); what is in no copy is lost.
func (s *source) overwritten(g *generation, now time.Time) {
	next := &generation{src: s, inode: g.inode, path: g.path, body: g.body, length: -1, grew: now, cut: true}
	g.body = nil
	if next.body == nil {
		if f, st, err := openFile(g.path); err == nil && st.inode() == g.inode {
			next.attach(f)
		}
	}
	if f, ok := next.body.(*os.File); ok {
		if st, err := statFile(f); err == nil {
			next.look(st, now)
			next.sees(st.size)
		}
	}
	g.sought, g.reason = now, ReasonTruncated
	g.attended = s.attends(g, now)
	at := len(s.queue)
	if n := s.newest(); n != nil && n != g && n.body != nil && n.path == s.path {
		at-- // a rotated file was cut: the one at the path is still the newest
	}
	s.queue = slices.Insert(s.queue, at, next)
	s.wantScan()
	s.tailer.log.Info("source was truncated", "source", s.path, "generation", g.number, "offset", g.read, "seen", g.seen)
}

func (s *source) setFault(err error) {
	if s.fault == err.Error() {
		return
	}
	s.fault = err.Error()
	s.tailer.log.Warn("source cannot be read", "source", s.path, "err", err)
}

// openFile opens a regular file for reading and tells what was opened.
// Without O_NONBLOCK a FIFO that took the file's place would block for ever.
func openFile(path string) (*os.File, stat, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, stat{}, err
	}
	st, err := statFile(f)
	if err == nil && !st.regular {
		err = &fs.PathError{Op: "tail", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, stat{}, err
	}
	return f, st, nil
}

// addStem remembers a path where the source's file stood, beside its own.
func (s *source) addStem(path string) {
	if path == s.path || slices.Contains(s.stems, path) {
		return
	}
	s.stems = append(s.stems, path)
	s.tailer.stems[path] = s
	s.tailer.watchDir(filepath.Dir(path))
}

// each visits every generation that may hold a file.
func (s *source) each(visit func(*generation)) {
	for _, gens := range [...][]*generation{s.queue, s.late} {
		for _, g := range gens {
			visit(g)
		}
	}
}

func (s *source) unread(gens []*generation) bool {
	return slices.ContainsFunc(gens, func(g *generation) bool { return g.size > g.read })
}

// find returns a generation by its number, nil if it is not known.
func (s *source) find(number uint64) *generation {
	if number == 0 {
		return nil
	}
	for _, gens := range [...][]*generation{s.queue, s.late, s.past} {
		for i := len(gens) - 1; i >= 0; i-- {
			if gens[i].number == number {
				return gens[i]
			}
		}
	}
	return nil
}

// serveLate reads ended generations on for late writers and lets go of those
// that stayed silent for the grace time, are read to the end and acknowledged.
func (s *source) serveLate(b *Batch, lim Limits, now time.Time) int {
	for i := 0; i < len(s.late); i++ {
		g := s.late[i]
		if !s.tailer.cfg.Once {
			s.lookHeld(g, now)
		}
		if !g.sought.IsZero() { // it was cut: what it holds now is queued as the next
			s.giveBack(i)
			i--
			continue
		}
		if g.size > g.read {
			final := now.Sub(g.grew) >= s.tailer.cfg.Patience
			if n := s.read(g, b, lim, final, now); n != 0 {
				g.length = g.read
				return max(n, 0)
			}
			continue
		}
		if now.Sub(g.grew) >= s.tailer.cfg.Grace && g.acked >= g.read && !s.tailer.waits {
			s.retire(i)
			i--
		}
	}
	return 0
}

// giveBack takes a generation that was cut out of the late ones. What was seen of it and not read is sought once more.
func (s *source) giveBack(i int) {
	g := s.late[i]
	if g.seen <= g.read {
		g.sought = time.Time{}
		s.retire(i)
		return
	}
	s.late = slices.Delete(s.late, i, i+1)
	s.queue = slices.Insert(s.queue, 0, g)
}

// retire lets go of the content of a late generation and keeps what is needed to
// know it again.
func (s *source) retire(i int) {
	g := s.late[i]
	s.late = append(s.late[:i], s.late[i+1:]...)
	g.close()
	if g.number == 0 {
		s.settled[g.inode] = g.size // nothing was read of it: it is looked at again when it grows
		s.unhold(g.inode)
		return
	}
	s.past = append(s.past, g)
	s.letGo(g)
}
