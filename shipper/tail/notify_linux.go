package tail

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// dirEvents tell of names that appear and go, not of what is written: that
	// would be an event a line.
	dirEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_MOVE_SELF | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_ONLYDIR
	// fileEvents wake an idle file, once: a busy one is polled.
	fileEvents = unix.IN_MODIFY | unix.IN_ONESHOT
)

// notifier tells of changes by inotify: directories for names, idle files for
// their next write. What it misses the sweep finds.
type notifier struct {
	file *os.File
	fd   int
	wake func()
	wg   sync.WaitGroup

	mu      sync.Mutex
	watches map[int32]watched
	dirs    map[string]int32 // the watch of each
	paths   []string         // changed since take
	missed  bool             // events were lost, or a directory went
}

type watched struct {
	path string
	dir  bool
}

// newNotifier starts to listen; wake is called after changes.
func newNotifier(wake func()) (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("start inotify: %w", err)
	}
	n := &notifier{
		file: os.NewFile(uintptr(fd), "inotify"), fd: fd, wake: wake,
		watches: map[int32]watched{}, dirs: map[string]int32{},
	}
	n.wg.Go(n.run)
	return n, nil
}

// watchDir reports names that appear or go in a directory from now on. It is asked again with each search, for another directory may stand there since: the path may
// lead over a link that leads elsewhere now, and of one that was removed while a file of it is open no event tells.
func (n *notifier) watchDir(path string) bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	wd, ok := n.add(path, dirEvents, true)
	if before, was := n.dirs[path]; was && (!ok || before != wd) {
		n.unwatch(before, path)
	}
	if ok {
		n.dirs[path] = wd
	}
	return ok
}

// unwatch ends the watch of a directory that stands at its path no more. What happened since is missed.
func (n *notifier) unwatch(wd int32, path string) {
	delete(n.dirs, path)
	n.missed = true
	if n.watches[wd].path == path {
		delete(n.watches, wd)
		_, _ = unix.InotifyRmWatch(n.fd, uint32(wd)) // it may be gone already
	}
}

// watchFile reports the next write to a file.
func (n *notifier) watchFile(path string) bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.add(path, fileEvents, false)
	return ok
}

func (n *notifier) add(path string, events uint32, dir bool) (int32, bool) {
	wd, err := unix.InotifyAddWatch(n.fd, path, events)
	if err != nil {
		return 0, false
	}
	n.watches[int32(wd)] = watched{path, dir}
	return int32(wd), true
}

// take returns the paths that changed since it was last called, and whether
// any may have been missed.
func (n *notifier) take() ([]string, bool) {
	if n == nil {
		return nil, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	paths, missed := n.paths, n.missed
	n.paths, n.missed = nil, false
	return paths, missed
}

// close ends listening.
func (n *notifier) close() {
	if n == nil {
		return
	}
	n.file.Close()
	n.wg.Wait()
}

func (n *notifier) run() {
	buf := make([]byte, 64<<10)
	for {
		m, err := n.file.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.decode(buf[:m])
		n.mu.Unlock()
		n.wake()
	}
}

func (n *notifier) decode(buf []byte) {
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buf))
		mask := binary.NativeEndian.Uint32(buf[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
		n.event(wd, mask, string(bytes.TrimRight(buf[unix.SizeofInotifyEvent:end], "\x00")))
		buf = buf[end:]
	}
}

func (n *notifier) event(wd int32, mask uint32, name string) {
	w, ok := n.watches[wd]
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		n.missed = true
		return
	case !ok:
		return
	case mask&unix.IN_IGNORED != 0:
		delete(n.watches, wd)
		if w.dir {
			delete(n.dirs, w.path)
			n.missed = true
		}
		return
	case mask&unix.IN_MOVE_SELF != 0:
		n.unwatch(wd, w.path)
		return
	}
	if name != "" {
		w.path = filepath.Join(w.path, name)
	}
	n.paths = append(n.paths, w.path)
}
