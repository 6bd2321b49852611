package archive

import (
	"container/list"
	"os"
	"sync"
)

// files holds the open files of all partitions: at most max of them, apart from those in use at this moment. The least
// recently used is closed first, whatever it holds: a commit opens it again when it must be synced.
type files struct {
	max int

	mu     sync.Mutex
	open   map[*segment]*handle
	recent *list.List // of *handle, latest first
}

// handle is an open file of a segment.
type handle struct {
	*os.File
	segment *segment
	users   int // it is not closed before they have released it
	place   *list.Element
	gone    bool // forgotten: the last user closes it
}

func newFiles(max int) *files {
	return &files{max: max, open: map[*segment]*handle{}, recent: list.New()}
}

// use gives the file of s, opening it with open when it is not at hand. Calls for one segment do not overlap.
func (f *files) use(s *segment, open func() (*os.File, error)) (*handle, error) {
	if h := f.find(s); h != nil {
		return h, nil
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &handle{File: file, segment: s, users: 1}
	h.place = f.recent.PushFront(h)
	f.open[s] = h
	f.shrink()
	return h, nil
}

func (f *files) find(s *segment) *handle {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.open[s]
	if h != nil {
		h.users++
		f.recent.MoveToFront(h.place)
	}
	return h
}

func (f *files) release(h *handle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h.users--
	if h.gone && h.users == 0 {
		h.Close()
	}
	f.shrink()
}

// forget closes the file of s as soon as nobody uses it.
func (f *files) forget(s *segment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.open[s]; h != nil {
		f.remove(h)
	}
}

// shrink closes the files that were used least recently. A file that is being synced stays, so max may be exceeded for that long.
func (f *files) shrink() {
	for place := f.recent.Back(); place != nil && len(f.open) > f.max; {
		h := place.Value.(*handle)
		place = place.Prev()
		if h.users == 0 {
			f.remove(h)
		}
	}
}

// remove closes without looking at the error: nothing counts as archived before a later sync of the file, which reports it.
func (f *files) remove(h *handle) {
	delete(f.open, h.segment)
	f.recent.Remove(h.place)
	h.gone = true
	if h.users == 0 {
		h.Close()
	}
}

func (f *files) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}
