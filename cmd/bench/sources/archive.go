package sources

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Source is one log file as its user knows it, with the files that hold its generations.
type Source struct {
	Host string // "" for one on the host's own disk
	Path string // absolute on its host
	list func() ([]string, error)
}

func (s Source) String() string { return s.Host + ":" + s.Path }

// segment is the name of a part of a source that was rotated: NAME%GENERATION-OFFSET, compressed or not. A '%' of the source's own
// name stands as %25, so sorted by name the segments of a source are in order.
var segment = regexp.MustCompile(`^(.+)%(\d{8,}-\d{18,})(\.gz|\.zst)?$`)

// unfinished marks a file that is being compressed; the segment it is made from stands beside it.
const unfinished = "%+"

// Archive lists the sources of an archive directory, by host and path. It may be in use.
func Archive(dir string) ([]Source, error) {
	hosts := filepath.Join(dir, "hosts")
	entries, err := os.ReadDir(hosts)
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	var all []Source
	for _, e := range entries {
		found, err := hostSources(unescape(e.Name()), filepath.Join(hosts, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b Source) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path)) })
	return all, nil
}

func hostSources(host, root string) ([]Source, error) {
	active := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // renamed or compressed while we walk; its other name is there
			return nil
		}
		if err == nil && d.Type().IsRegular() && !strings.Contains(d.Name(), unfinished) {
			active[activeName(path)] = true
		}
		return err
	})
	var all []Source
	for path := range active {
		rel := strings.TrimPrefix(path, root)
		all = append(all, Source{Host: host, Path: sourcePath(filepath.ToSlash(rel)), list: func() ([]string, error) { return segments(path) }})
	}
	return all, err
}

// activeName is the name under which the source of an archive file is appended to.
func activeName(path string) string {
	dir, name := filepath.Split(path)
	if m := segment.FindStringSubmatch(name); m != nil {
		return dir + m[1]
	}
	return path
}

// segments lists the files of a source in the order of their bytes, the active one last.
func segments(active string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(active))
	if err != nil {
		return nil, err
	}
	named := map[string]string{} // by generation and offset
	last := ""
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(active), e.Name())
		m := segment.FindStringSubmatch(e.Name())
		switch {
		case path == active:
			last = path
		case m != nil && m[1] == filepath.Base(active):
			if named[m[2]] == "" || m[3] == "" { // while a segment stands beside its compressed copy, it is the one that counts
				named[m[2]] = path
			}
		}
	}
	var files []string
	for _, path := range named {
		files = append(files, path)
	}
	slices.Sort(files)
	if last != "" {
		files = append(files, last)
	}
	return files, nil
}

// sourcePath is the source of a path below its host's directory: without the marks "%@" and "%=", which keep names apart, and escapes restored.
func sourcePath(rel string) string {
	components := strings.Split(rel, "/")
	for i, c := range components {
		for strings.HasSuffix(c, "%@") {
			c = strings.TrimSuffix(c, "%@")
		}
		components[i] = unescape(strings.TrimSuffix(c, "%="))
	}
	return strings.Join(components, "/")
}

// unescape restores %XX; what is no escape stays as it is.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
