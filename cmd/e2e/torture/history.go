package torture

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Gone says what became of a file's bytes.
type Gone string

// What takes bytes away. Those of a file that was only renamed, packed or copied can still be had.
const (
	Kept    Gone = ""
	Cut     Gone = "cut"     // truncated in place
	Removed Gone = "removed" // deleted
)

// Incarnation is a file that stood at the log's path, or one that was cut and filled anew: what is to become one generation.
// The text of all lines is written from its beginning to its end, so each holds one run of it.
type Incarnation struct {
	From      int64 // where in the text of all lines its first byte lies
	Length    int64
	Gone      Gone
	Unwatched bool // no reader ran from before its first byte until it was gone
}

// Written is what a scenario wrote.
type Written struct {
	Lines        int // begun; the last bytes of some may never have been written
	Incarnations []Incarnation
}

// history is what was written so far.
type history struct {
	at        int64 // how far the text of all lines was written or given up
	all       []Incarnation
	unwatched bool // no reader runs
}

// opened notes that what is written from now on goes to a file of that size.
func (h *history) opened(size int64) error {
	if size == 0 {
		h.all = append(h.all, Incarnation{From: h.at, Unwatched: h.unwatched})
		return nil
	}
	if n := len(h.all); n == 0 || h.all[n-1].Length != size {
		return fmt.Errorf("a file of %d bytes was opened that is not the last of %v", size, h.all)
	}
	return nil
}

func (h *history) wrote(n int) {
	h.all[len(h.all)-1].Length += int64(n)
	h.at += int64(n)
}

// gaveUp notes bytes of a line that will never be written.
func (h *history) gaveUp(n int) { h.at += int64(n) }

// end notes that the file written last is gone.
func (h *history) end(how Gone) {
	last := &h.all[len(h.all)-1]
	last.Gone = how
	last.Unwatched = last.Unwatched && h.unwatched
}

func (h *history) save(dir string, lines int) error {
	data, err := json.Marshal(Written{Lines: lines, Incarnations: h.all})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, writtenFile), data, 0o644)
}

func loadWritten(dir string) (w Written, err error) {
	data, err := os.ReadFile(filepath.Join(dir, writtenFile))
	if err != nil {
		return w, err
	}
	return w, json.Unmarshal(data, &w)
}
