package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// holder keeps a hard link on each generation until it is archived, so that a
// rotation that deletes takes nothing away while the agent is down. A
// truncation it cannot undo: link and log are one file.
type holder struct {
	dir    string
	links  map[string][]string // paths by the source's key
	failed string              // last fault that was told
}

func newHolder(dir string) *holder { return &holder{dir: dir, links: map[string][]string{}} }

// load lists the links that an earlier run left.
func (h *holder) load() error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("make hold directory: %w", err)
	}
	names, err := os.ReadDir(h.dir)
	if err != nil {
		return fmt.Errorf("read hold directory: %w", err)
	}
	clear(h.links)
	for _, e := range names {
		key, _, _ := strings.Cut(e.Name(), "-")
		h.links[key] = append(h.links[key], filepath.Join(h.dir, e.Name()))
	}
	return nil
}

func sourceKey(source string) string { return fmt.Sprintf("%016x", xxh3.HashString(source)) }

func (h *holder) link(source string, i inode) string {
	return filepath.Join(h.dir, fmt.Sprintf("%s-%x-%x-%x", sourceKey(source), i.dev, i.ino, uint64(i.birth)))
}

// hold links the file that stands at path. Where another took its place
// meanwhile the link is undone: the one that is meant is found by the scan.
func (h *holder) hold(source, path string, i inode) error {
	link := h.link(source, i)
	if h.has(source, i) {
		return nil
	}
	// The path may be a link: what it leads to is to be held, not the link.
	if err := unix.Linkat(unix.AT_FDCWD, path, unix.AT_FDCWD, link, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: path, New: link, Err: err}
	}
	st, err := statPath(link)
	if err == nil && st.inode() != i {
		return os.Remove(link)
	}
	key := sourceKey(source)
	h.links[key] = append(h.links[key], link)
	return err
}

// has reports whether the file is held.
func (h *holder) has(source string, i inode) bool {
	_, err := os.Lstat(h.link(source, i))
	return err == nil
}

// release removes the link on a generation.
func (h *holder) release(source string, i inode) error {
	link, key := h.link(source, i), sourceKey(source)
	h.links[key] = slices.DeleteFunc(h.links[key], func(l string) bool { return l == link })
	err := os.Remove(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// hold links a generation's file. That it cannot is told once: bytes are then
// no safer than without.
func (s *source) hold(g *generation) {
	if s.tailer.holder == nil || g.packed {
		return
	}
	s.holdFile(g.path, g.inode)
}

func (s *source) holdFile(path string, i inode) {
	h := s.tailer.holder
	if err := h.hold(s.path, path, i); err != nil && h.failed != err.Error() {
		h.failed = err.Error()
		s.tailer.log.Warn("file cannot be held", "source", s.path, "err", err)
	}
}

// holdUnopened links the files of a source that waits for a descriptor: a link takes none.
func (s *source) holdUnopened() {
	if s.tailer.holder == nil {
		return
	}
	st, err := statPath(s.path)
	if err != nil || !st.regular || st.inode() == s.linked {
		return
	}
	found, state, err := s.entries()
	if err != nil || state == notYet {
		return // it is tried again at the next sweep
	}
	for _, e := range found {
		if !e.packed {
			s.holdFile(e.path, e.st.inode())
		}
	}
	s.linked = st.inode()
}

// unhold removes the link on a file of which nothing was shipped and nothing will be.
func (s *source) unhold(i inode) {
	h := s.tailer.holder
	if h == nil {
		return
	}
	if err := h.release(s.path, i); err != nil {
		s.tailer.log.Warn("held file cannot be let go", "source", s.path, "err", err)
	}
}

// letGo removes the links on an ended generation once the archive has all of it.
func (s *source) letGo(g *generation) {
	if g.length < 0 || g.archived < g.length {
		return
	}
	for _, i := range [...]inode{{g.id.Device, g.id.Inode, g.id.Birth}, g.inode} { // the other is a copy's, if it was finished from one
		if !s.reading(i, g) {
			s.unhold(i)
		}
	}
}

// reading reports whether a generation beside one that is read or awaits late writers stands in the file.
func (s *source) reading(i inode, beside *generation) (is bool) {
	s.each(func(g *generation) { is = is || (g.inode == i && g != beside) })
	return is
}

// tidyHeld removes the links that turned out to be on nothing of the source's: they would keep deleted logs on the disk for ever. Before the hub has told the
// positions nobody can know.
func (s *source) tidyHeld() {
	h := s.tailer.holder
	if h == nil || s.tailer.waits {
		return
	}
	for _, link := range slices.Clone(h.links[sourceKey(s.path)]) {
		f, st, err := openFile(link)
		if err != nil {
			continue
		}
		if !s.claims(entry{path: link, st: st, size: st.size, held: f}) {
			s.tailer.log.Debug("held file is nobody's", "source", s.path, "link", link)
			s.unhold(st.inode())
		}
		f.Close()
	}
}

// claims reports whether bytes of a held file may be wanted yet.
func (s *source) claims(e entry) bool {
	i := e.st.inode()
	if _, locked := s.locked[i]; locked || e.st.size == 0 || slices.Contains(s.tailer.refused[s], i) {
		return true // who has an empty file open may write to it
	}
	if s.reading(i, nil) {
		return true
	}
	unarchived := func(g *generation) bool {
		return (g.length < 0 || g.archived < g.length) && (g.id.sameInode(e.st) || g.is(e.held))
	}
	return slices.ContainsFunc(s.past, unarchived) || s.isCopy(e, nil)
}

// Archived tells that the archive holds a generation up to an offset.
func (t *Tailer) Archived(source string, generation uint64, offset int64) {
	s := t.sources[source]
	if s == nil {
		return
	}
	if g := s.find(generation); g != nil {
		g.archived = max(g.archived, offset)
		s.letGo(g)
	}
}
