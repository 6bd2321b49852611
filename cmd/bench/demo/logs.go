package demo

import (
	"bytes"
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/logdrive/logdrive/cmd/bench/sources"
)

const (
	mostBytes = 200 << 20 // of real logs
	mostFiles = 100
	firstLook = 1 << 10 // bytes in which text has no NUL
)

// usualPlaces are where systems keep their logs.
func usualPlaces() []string {
	places := []string{"/var/log", "/Library/Logs", "/usr/local/var/log", "/opt/homebrew/var/log"}
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, "Library/Logs"))
	}
	return places
}

// findLogs lists text files that can be read in the places: the largest that fit into the limits. What cannot be read is passed over.
func findLogs(places []string) []string {
	type file struct {
		path string
		size int64
	}
	var found []file
	for _, place := range places {
		_ = filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || sources.IsRotated(path) {
				return nil
			}
			if info, err := d.Info(); err == nil && info.Size() > 0 && info.Size() < mostBytes && isText(path) {
				found = append(found, file{path, info.Size()})
			}
			return nil
		})
	}
	slices.SortFunc(found, func(a, b file) int { return cmp.Compare(b.size, a.size) })
	var paths []string
	var total int64
	for _, f := range found {
		if total+f.size <= mostBytes && len(paths) < mostFiles {
			total += f.size
			paths = append(paths, f.path)
		}
	}
	return paths
}

func isText(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".xz", ".zst", ".bz2":
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, firstLook)
	n, err := io.ReadFull(f, head)
	return n > 0 && (err == nil || err == io.ErrUnexpectedEOF) && bytes.IndexByte(head[:n], 0) < 0
}
