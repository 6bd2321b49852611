package tail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// settling is how old a directory's change must be before its time of
// modification tells changes apart: clocks of file systems are coarse.
const settling = 20 * time.Millisecond

// lister reads directories, once for all sources in them: a host may keep
// twenty thousand logs in one, and rotate them all in a minute.
type lister struct {
	dirs map[string]*listing
}

// listing is one reading of a directory.
type listing struct {
	dir      string // ends in a slash
	names    map[string]bool
	siblings map[string][]string // names by the name they were rotated from
	inodes   map[fileNumber][]string
	mtime    int64
	began    time.Time
	cost     time.Duration
}

// fileNumber is an inode without the birth time, which may be unknown.
type fileNumber struct{ dev, ino uint64 }

// read lists a directory no earlier than since. It returns nil, for now, where
// that would take more than a tenth of the time.
func (l *lister) read(dir string, since time.Time) (*listing, error) {
	old := l.dirs[dir]
	if old != nil && !old.began.Before(since) {
		return old, nil
	}
	now := time.Now()
	if old != nil && old.current() {
		old.began = now
		return old, nil
	}
	if old != nil && now.Sub(old.began) < 10*old.cost && old.cost > time.Millisecond {
		return nil, nil
	}
	li := &listing{dir: dir, names: map[string]bool{}, siblings: map[string][]string{}, began: now}
	if err := li.fill(); err != nil {
		delete(l.dirs, dir)
		return nil, err
	}
	li.cost = time.Since(now)
	l.dirs[dir] = li
	return li, nil
}

func (li *listing) fill() error {
	st, err := statPath(li.dir)
	if err != nil {
		return err
	}
	li.mtime = st.mtime
	d, err := os.Open(li.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		li.names[name] = true
		for base, ok := siblingOf(name); ok; base, ok = siblingOf(base) {
			li.siblings[base] = append(li.siblings[base], name)
		}
	}
	return nil
}

// current reports whether the directory is for sure as it was read.
func (li *listing) current() bool {
	st, err := statPath(li.dir)
	return err == nil && st.mtime == li.mtime && li.began.UnixNano()-li.mtime > int64(settling)
}

// numbered returns the names that stand for a file number.
func (li *listing) numbered(n fileNumber) []string {
	if li.inodes == nil {
		li.inodes = map[fileNumber][]string{}
		for name := range li.names {
			if st, err := statPath(li.dir + name); err == nil && st.regular {
				key := fileNumber{st.dev, st.ino}
				li.inodes[key] = append(li.inodes[key], name)
			}
		}
	}
	return li.inodes[n]
}

// prefixed returns the names that begin with a source's name: what may be a
// copy of it.
func (li *listing) prefixed(base string) []string {
	var out []string
	for name := range li.names {
		if name != base && strings.HasPrefix(name, base) {
			out = append(out, name)
		}
	}
	return out
}

// mostStems is how many paths a source may have stood for before those are forgotten where nothing stands.
const mostStems = 16

// pruneStems forgets where links once led, if neither a file nor what its rotation left is there any more.
func (s *source) pruneStems(found []entry) {
	if len(s.stems) <= mostStems {
		return
	}
	s.stems = slices.DeleteFunc(s.stems, func(p string) bool {
		dir, base := filepath.Split(p)
		if _, err := os.Lstat(p); !isGone(err) || slices.ContainsFunc(found, func(e entry) bool {
			d, name := filepath.Split(e.path)
			return d == dir && isSibling(name, base)
		}) {
			return false
		}
		if s.tailer.stems[p] == s {
			delete(s.tailer.stems, p)
		}
		return true
	})
}

// around returns the directory and name of each path where the source's
// generations may stand.
func (s *source) around(visit func(dir, base string) error) error {
	for i := -1; i < len(s.stems); i++ {
		p := s.path
		if i >= 0 {
			p = s.stems[i]
		}
		dir, base := filepath.Split(p)
		if err := visit(dir, base); err != nil {
			return err
		}
	}
	return nil
}
