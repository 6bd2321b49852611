package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zeebo/xxh3"
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
	err := os.Link(path, link)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := statPath(link)
	if err == nil && st.inode() != i {
		return os.Remove(link)
	}
	return err
}

// has reports whether the file is held.
func (h *holder) has(source string, i inode) bool {
	_, err := os.Lstat(h.link(source, i))
	return err == nil
}

// release removes the link on a generation that is archived.
func (h *holder) release(source string, i inode) error {
	err := os.Remove(h.link(source, i))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// hold links a generation's file. That it cannot is told once: bytes are then
// no safer than without.
func (s *source) hold(g *generation) {
	h := s.tailer.holder
	if h == nil || g.packed {
		return
	}
	if err := h.hold(s.path, g.path, g.inode); err != nil && h.failed != err.Error() {
		h.failed = err.Error()
		s.tailer.log.Warn("file cannot be held", "source", s.path, "err", err)
	}
}

// letGo removes the link on an ended generation once the archive has all of it.
func (s *source) letGo(g *generation) {
	h := s.tailer.holder
	if h == nil || g.length < 0 || g.archived < g.length {
		return
	}
	if err := h.release(s.path, inode{g.id.Device, g.id.Inode, g.id.Birth}); err != nil {
		s.tailer.log.Warn("held file cannot be let go", "source", s.path, "err", err)
	}
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
