package tail

import (
	"path/filepath"
	"strings"
	"time"
)

const (
	// lookCost is what the sweep allows one idle source, so that all of them
	// together take less than one part in a hundred of a core.
	lookCost = 300 * time.Microsecond
	// trust is how long a watch alone vouches for an idle file.
	trust = 30 * time.Second
	// gather is how long names are awaited before a search for new files.
	gather = 20 * time.Millisecond
	// admitted is how many sources are opened at once.
	admitted = 64
)

// stir makes a source busy: it is looked at on every tick.
func (t *Tailer) stir(s *source) {
	s.watched = false
	if s.waiting {
		return
	}
	if !s.busy {
		s.busy = true
		t.busy = append(t.busy, s)
		t.waker.setBusy(true)
	}
}

// takeEvents stirs what the watches tell of.
func (t *Tailer) takeEvents(now time.Time) {
	paths, missed := t.notify.take()
	for _, p := range paths {
		t.appeared(p)
		if s := t.concerned(p); s != nil {
			s.looked = time.Time{}
			if !s.rescan.IsZero() {
				s.rescan = now
			}
			if s.path != p {
				s.wantScan()
			}
			t.stir(s)
		} else if _, ok := t.finder.wants(p); ok {
			t.findSoon(now)
		}
	}
	if missed {
		t.findSoon(now)
		for _, s := range t.list {
			s.watched = false
		}
	}
}

// watchDir watches a directory, or what is there of the way to it: a log that comes with its directory may go with it soon. is: the
// directory itself.
func (t *Tailer) watchDir(dir string) (is bool) {
	if t.notify.watchDir(dir) {
		delete(t.absent, dir)
		return true
	}
	t.absent[dir] = true
	for up := filepath.Dir(dir); !t.notify.watchDir(up) && up != filepath.Dir(up); {
		up = filepath.Dir(up)
	}
	return false
}

// appeared looks at the sources of absent directories that a new name may have brought.
func (t *Tailer) appeared(path string) {
	for dir := range t.absent {
		if dir != path && !strings.HasPrefix(dir, path+"/") {
			continue
		}
		t.watchDir(dir)
		for _, s := range t.list {
			if filepath.Dir(s.path) == dir {
				s.looked = time.Time{}
				t.stir(s)
			}
		}
	}
}

// concerned returns the source that a changed path belongs to: its own, one
// where a link leads, or what a rotation gives.
func (t *Tailer) concerned(path string) *source {
	dir, name := filepath.Split(path)
	for ok := true; ok; name, ok = siblingOf(name) {
		if s := t.sources[dir+name]; s != nil {
			return s
		}
		if s := t.stems[dir+name]; s != nil {
			return s
		}
	}
	return nil
}

// sweep looks at a share of the idle sources, so that each has its turn once in
// a while: watches may be used up or lose events.
func (t *Tailer) sweep(now time.Time) {
	n := len(t.list)
	period := t.period()
	share := n
	if since := now.Sub(t.sweptAt); since < period {
		share = int(int64(n) * int64(since) / int64(period))
	}
	if share == 0 {
		return
	}
	t.sweptAt = now
	for range share {
		s := t.list[t.swept%n]
		t.swept++
		if s.waiting {
			s.holdUnopened()
			continue
		}
		if s.busy || (s.watched && now.Sub(s.looked) < trust) {
			continue
		}
		if s.stirs(now) {
			t.stir(s)
		}
	}
}

// period is the time in which the sweep comes round.
func (t *Tailer) period() time.Duration {
	return max(t.cfg.Sweep, time.Duration(len(t.list))*lookCost)
}

// stirs looks at an idle source and reports whether there is something to do.
func (s *source) stirs(now time.Time) bool {
	s.look(now)
	g := s.current()
	return s.scan || s.due(now) || len(s.queue) > 1 || len(s.late) > 0 ||
		(g != nil && (g.size > g.read || !g.sought.IsZero() || g.grew.Equal(now)))
}

// due reports whether it is time to try again what could not be read.
func (s *source) due(now time.Time) bool { return !s.rescan.IsZero() && !now.Before(s.rescan) }

// settle puts sources that have fallen quiet among the idle ones. The watch comes before the
// last look, so that no write falls between them.
func (t *Tailer) settle(now time.Time) {
	kept := t.busy[:0]
	for _, s := range t.busy {
		if s.waiting {
			s.busy = false
			continue
		}
		if !s.quiet(now) {
			kept = append(kept, s)
			continue
		}
		s.busy = false
		s.watched = s.rescan.IsZero() && t.notify.watchFile(s.path)
		if s.stirs(now) {
			s.busy = true
			kept = append(kept, s)
		} else if t.open > t.cfg.MaxOpen {
			s.closeIdle()
		}
	}
	clear(t.busy[len(kept):])
	t.busy = kept
	t.waker.setBusy(len(t.busy) > 0 || len(t.waiting) > 0)
}

// quiet reports whether nothing has happened to the source for a while.
func (s *source) quiet(now time.Time) bool {
	if s.scan || len(s.queue) > 1 || len(s.late) > 0 {
		return false
	}
	g := s.current()
	return g == nil || (g.sought.IsZero() && now.Sub(g.grew) >= s.tailer.cfg.Quiet)
}

// admit makes busy some of the sources that wait to be opened: few enough at
// a time that a busy line does not notice.
func (t *Tailer) admit(now time.Time) {
	n := 0
	for n < len(t.waiting) && n < admitted && t.shed() {
		t.waiting[n].waiting = false
		t.stir(t.waiting[n])
		n++
	}
	clear(t.waiting[:n])
	t.waiting = t.waiting[n:]
}

// await puts a source at the end of those that are to be opened.
func (t *Tailer) await(s *source) {
	if !s.waiting {
		s.waiting = true
		t.waiting = append(t.waiting, s)
	}
}

// shed closes idle files until there is room for one more descriptor, and
// reports whether there is. It looks at some of them only.
func (t *Tailer) shed() bool {
	for i := 0; t.open >= t.cfg.MaxOpen && i < 4*admitted; i++ {
		t.list[t.shedding%len(t.list)].closeIdle()
		t.shedding++
	}
	return t.open < t.cfg.MaxOpen
}

// closeIdle closes a file that is read to its end and acknowledged. It is
// known again by identity and by the bytes before the position.
func (s *source) closeIdle() {
	g := s.current()
	if g == nil || len(s.queue) > 1 || len(s.late) > 0 || s.scan || !g.sought.IsZero() ||
		g.number == 0 || g.packed || g.acked < g.size || g.path != s.path {
		return
	}
	g.close()
}

// findSoon brings the next search for new files forward.
func (t *Tailer) findSoon(now time.Time) {
	if at := now.Add(max(gather, 10*t.findCost)); at.Before(t.findAt) {
		t.findAt = at
	}
}

// search looks for new files beside the tailer, one search at a time.
func (t *Tailer) search(now time.Time) {
	if t.searching {
		select {
		case f := <-t.found:
			t.searching = false
			t.takeFindings(f, now)
		default:
		}
		return
	}
	if now.Before(t.findAt) || t.cfg.Once {
		return
	}
	t.searching = true
	t.searches.Go(func() {
		t.found <- t.finder.find()
		t.waker.wake()
	})
}

// takeFindings adds the sources that were found. A search takes no more than one part in two hundred of a core, and one in a
// thousand where watches tell of every new name, as they do for directories that the user named.
func (t *Tailer) takeFindings(f findings, now time.Time) {
	for _, one := range f.files {
		t.await(t.add(one.path, one.judged))
	}
	watched := len(t.finder.globs) == 0
	for _, d := range f.dirs {
		watched = t.watchDir(d) && watched
	}
	share := time.Duration(200)
	if watched {
		share = 1000
	}
	t.findCost = f.cost
	t.findAt = now.Add(max(t.cfg.Find, share*f.cost))
}

func (t *Tailer) add(path string, judged bool) *source {
	s := t.sources[path]
	if s == nil {
		s = &source{
			tailer: t, path: path, judged: judged, first: true,
			settled: map[inode]int64{}, locked: map[inode]entry{},
		}
		t.sources[path] = s
		t.list = append(t.list, s)
	}
	return s
}
