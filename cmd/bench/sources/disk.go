package sources

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// OnDisk is the source that stands at path on this machine, with what was rotated away from it: path.N (N descending) or
// path-DATE (ascending), compressed or not, then path itself.
func OnDisk(path string) Source {
	return Source{Path: path, list: func() ([]string, error) { return generations(path) }}
}

// Files lists the sources under paths: a file stands for itself, a directory for all regular files in it that were not rotated
// away from another one there.
func Files(paths ...string) ([]Source, error) {
	var all []Source
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("list sources: %w", err)
		}
		err = filepath.WalkDir(abs, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && (path == abs || !IsRotated(path)) {
				all = append(all, OnDisk(path))
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list sources: %w", err)
		}
	}
	return all, nil
}

// IsRotated says that path is named after a file that stands beside it.
func IsRotated(path string) bool {
	name := trimCompressed(path)
	for i := len(name) - 1; i > 0 && name[i] != filepath.Separator; i-- {
		if (name[i] == '.' || name[i] == '-') && isDigits(name[i+1:]) {
			_, err := os.Lstat(name[:i])
			return err == nil
		}
	}
	return false
}

func generations(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	type generation struct {
		path string
		age  int // the higher the older
	}
	var found []generation
	for _, e := range entries {
		full := filepath.Join(filepath.Dir(path), e.Name())
		suffix, ok := strings.CutPrefix(trimCompressed(full), path)
		if !ok {
			continue
		}
		if suffix == "" && full == path {
			found = append(found, generation{full, 0})
		}
		if len(suffix) > 1 && isDigits(suffix[1:]) && e.Type().IsRegular() {
			n, _ := strconv.Atoi(suffix[1:])
			switch suffix[0] {
			case '.':
				found = append(found, generation{full, n})
			case '-':
				found = append(found, generation{full, 1<<62 - n})
			}
		}
	}
	slices.SortFunc(found, func(a, b generation) int { return cmp.Compare(b.age, a.age) })
	var files []string
	for _, g := range found {
		files = append(files, g.path)
	}
	return files, nil
}

func trimCompressed(path string) string {
	return strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
