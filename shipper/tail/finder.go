package tail

import (
	"cmp"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// finder knows which paths are to be tailed. It belongs to whoever searches:
// Recover, then one search at a time beside the tailer.
type finder struct {
	files    []string // named, may not exist yet
	globs    []string
	exclude  []string
	reported map[string]bool // sources
}

// finding is a path to tail; judged if it is tailed whatever is in it.
type finding struct {
	path   string
	judged bool
	link   bool
}

// findings is what a search gave.
type findings struct {
	files []finding
	dirs  []string // where new files may appear
	cost  time.Duration
}

func newFinder(cfg Config) *finder {
	f := &finder{reported: map[string]bool{}}
	for _, p := range cfg.Paths {
		p = filepath.Clean(p)
		if _, err := os.Lstat(p); err != nil && hasMeta(p) {
			f.globs = append(f.globs, p)
		} else {
			f.files = append(f.files, p)
		}
	}
	for _, p := range cfg.Exclude {
		f.exclude = append(f.exclude, filepath.Clean(p))
	}
	return f
}

func hasMeta(p string) bool { return strings.ContainsAny(p, `*?[{\`) }

// excluded reports whether Exclude covers the path or a directory it is in.
func (f *finder) excluded(path string) bool {
	return slices.ContainsFunc(f.exclude, func(e string) bool {
		return path == e || strings.HasPrefix(path, e+"/") ||
			(hasMeta(e) && doublestar.PathMatchUnvalidated(e, path))
	})
}

// wants reports whether the path is to be tailed, and whatever is in it.
func (f *finder) wants(path string) (judged, ok bool) {
	if f.excluded(path) {
		return false, false
	}
	for _, p := range f.files {
		if p == path {
			return true, true
		}
		if strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") {
			ok = true
		}
	}
	for _, g := range f.globs {
		if doublestar.PathMatchUnvalidated(g, path) {
			return true, true
		}
	}
	return false, ok
}

// find returns the sources that were not reported yet. The rotated form of a
// file that is there, or that was reported, is none.
func (f *finder) find() findings {
	began := time.Now()
	found := map[string]finding{}
	dirs := map[string]bool{}
	for _, p := range f.files {
		if st, err := os.Stat(p); err == nil && st.IsDir() {
			f.walk(p, found, dirs)
		} else if !f.excluded(p) {
			found[p] = finding{path: p, judged: true}
			dirs[filepath.Dir(p)] = true
		}
	}
	for _, g := range f.globs {
		f.glob(g, found, dirs)
	}
	var out findings
	for p, one := range found {
		if !f.reported[p] && !f.rotated(p, found) {
			out.files = append(out.files, one)
		}
	}
	for _, one := range out.files {
		f.reported[one.path] = true
	}
	// A file comes before the links to it: the first that stands for it is its source.
	slices.SortFunc(out.files, func(a, b finding) int {
		if a.link != b.link {
			if b.link {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.path, b.path)
	})
	out.dirs = slices.Sorted(maps.Keys(dirs))
	out.cost = time.Since(began)
	return out
}

// rotated reports whether the path is the rotated form of a source. A file
// that the user named is a source whatever its name.
func (f *finder) rotated(path string, found map[string]finding) bool {
	if slices.Contains(f.files, path) {
		return false
	}
	dir, name := filepath.Split(path)
	for base, ok := siblingOf(name); ok; base, ok = siblingOf(base) {
		if _, there := found[dir+base]; there || f.reported[dir+base] {
			return true
		}
	}
	return false
}

func (f *finder) walk(root string, found map[string]finding, dirs map[string]bool) {
	// The slash: the directory may be named by a link that leads to it.
	filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		if f.excluded(path) {
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d == nil:
		case d.IsDir():
			dirs[path] = true
		case d.Type().IsRegular() || leadsToFile(path, d):
			if _, named := found[path]; !named {
				found[path] = finding{path: path, link: !d.Type().IsRegular()}
			}
		}
		return nil // what cannot be read is tried again at the next search
	})
}

// leadsToFile reports whether a symbolic link stands for a regular file.
func leadsToFile(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return false
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func (f *finder) glob(pattern string, found map[string]finding, dirs map[string]bool) {
	base, rest := doublestar.SplitPattern(pattern)
	dirs[base] = true
	doublestar.GlobWalk(os.DirFS(base), rest, func(path string, d fs.DirEntry) error {
		full := filepath.Join(base, path)
		switch {
		case f.excluded(full):
		case d.IsDir():
			dirs[full] = true
		case d.Type().IsRegular() || leadsToFile(full, d):
			found[full] = finding{path: full, judged: true, link: !d.Type().IsRegular()}
			dirs[filepath.Dir(full)] = true
		}
		return nil
	}, doublestar.WithNoFollow())
}
