package tail

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// finder knows which paths are to be tailed.
type finder struct {
	files   []string // named, may not exist yet
	globs   []string
	exclude []string
}

// finding is a path to tail; judged if it is tailed whatever is in it.
type finding struct {
	path   string
	judged bool
}

func newFinder(cfg Config) *finder {
	f := &finder{}
	for _, p := range cfg.Paths {
		p = filepath.Clean(p)
		_, err := os.Lstat(p)
		if err != nil && hasMeta(p) {
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

// excluded reports whether a pattern of Exclude covers the path or a directory it is in.
func (f *finder) excluded(path string) bool {
	for _, e := range f.exclude {
		if path == e || strings.HasPrefix(path, e+"/") || (hasMeta(e) && doublestar.PathMatchUnvalidated(e, path)) {
			return true
		}
	}
	return false
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
		if strings.HasPrefix(path, p+"/") {
			return false, true
		}
	}
	for _, g := range f.globs {
		if doublestar.PathMatchUnvalidated(g, path) {
			return true, true
		}
	}
	return false, false
}

// find returns the files that are to be tailed and not known yet. What is the
// rotated form of a file that is there, or of a known one, is no source.
func (f *finder) find(known func(string) bool) []finding {
	found := map[string]bool{}
	for _, p := range f.files {
		st, err := os.Stat(p)
		if err == nil && st.IsDir() {
			f.walk(p, found)
			continue
		}
		if !f.excluded(p) {
			found[p] = true
		}
	}
	for _, g := range f.globs {
		f.glob(g, found)
	}
	var out []finding
	for p, judged := range found {
		if known(p) || f.rotated(p, found, known) {
			continue
		}
		out = append(out, finding{p, judged})
	}
	return out
}

// rotated reports whether the path is the rotated form of a source. A file
// that the user named is tailed under its own name.
func (f *finder) rotated(path string, found map[string]bool, known func(string) bool) bool {
	for _, p := range f.files {
		if p == path {
			return false
		}
	}
	dir, name := filepath.Split(path)
	for {
		base, ok := siblingOf(name)
		if !ok {
			return false
		}
		if _, there := found[dir+base]; there || known(dir+base) {
			return true
		}
		name = base
	}
}

func (f *finder) walk(root string, found map[string]bool) {
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if f.excluded(path) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if _, ok := found[path]; !ok && d.Type().IsRegular() {
			found[path] = false
		}
		return nil
	})
}

func (f *finder) glob(pattern string, found map[string]bool) {
	base, rest := doublestar.SplitPattern(pattern)
	doublestar.GlobWalk(os.DirFS(base), rest, func(path string, d fs.DirEntry) error {
		full := filepath.Join(base, path)
		if d.IsDir() || f.excluded(full) {
			return nil
		}
		found[full] = true
		return nil
	})
}
