package archive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// segment is one file of the archive while it may grow: a contiguous run of one generation.
type segment struct {
	source     *source
	generation uint64
	start      int64 // offset of its first byte in the generation
	value      segmentValue
	high       int64 // end of what may have been written to the file; beyond length it does not count
}

func (s *segment) end() int64 { return s.start + s.value.length }

// path is where the file stands, below the archive.
func (s *segment) path() string {
	return segmentPath(s.source.path, s.generation, s.start, s.value.state)
}

func segmentPath(source string, generation uint64, start int64, st state) string {
	switch st {
	case active:
		return source
	case gzipped:
		return rotatedName(source, generation, start) + suffixGzip
	case zstded:
		return rotatedName(source, generation, start) + suffixZstd
	}
	return rotatedName(source, generation, start)
}

// segmentFor finds or begins the segment that takes the bytes of g from its position on. What it rotates stays rotated when the
// message then fails: names are facts of the directory, only lengths are promises.
func (p *Partition) segmentFor(g *generation) (*segment, error) {
	if t := g.tail; t != nil {
		if t.end() == g.offset && !p.full(t) {
			return t, nil
		}
		if err := p.seal(t); err != nil { // one without a byte, begun for a message that failed, goes
			return nil, err
		}
	}
	s := g.source
	st := late
	if g.number >= s.newest {
		st = active
		if s.active != nil {
			if err := p.seal(s.active); err != nil {
				return nil, err
			}
		}
	}
	return p.begin(g, st)
}

func (p *Partition) begin(g *generation, st state) (*segment, error) {
	age, wall := p.a.clock.read()
	t := &segment{
		source: g.source, generation: g.number, start: g.offset,
		value: segmentValue{state: st, stream: p.id, born: age, touched: age, first: wall, last: wall},
	}
	if err := p.create(t); err != nil {
		return nil, err
	}
	g.tail = t
	if st == active {
		g.source.active = t
	}
	return t, nil
}

// create makes the file of a new segment.
func (p *Partition) create(t *segment) error {
	h, err := p.a.files.use(t, func() (*os.File, error) { return p.openNew(t.path()) })
	if err != nil {
		return fmt.Errorf("begin segment %s: %w", t.path(), err)
	}
	p.a.files.release(h)
	p.pending.rename(t.path())
	if err := at("segment: begun"); err != nil {
		p.a.files.forget(t)
		return errors.Join(err, p.discard(t))
	}
	return nil
}

// How files are opened: links are never followed, what stands is never emptied.
const (
	openFile = os.O_RDWR | syscall.O_NOFOLLOW
	newFile  = openFile | os.O_CREATE | os.O_EXCL
)

// openNew makes a file and the directories above it. What stands there already is not in the index, so it is not ours to
// overwrite: it is moved away.
func (p *Partition) openNew(name string) (*os.File, error) {
	f, err := p.a.root.OpenFile(name, newFile, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := p.a.root.MkdirAll(path.Dir(name), dirMode); err != nil {
			return nil, err
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			p.pending.rename(dir)
		}
		f, err = p.a.root.OpenFile(name, newFile, fileMode)
	}
	if errors.Is(err, fs.ErrExist) {
		if err := p.moveUnknown(name); err != nil {
			return nil, err
		}
		f, err = p.a.root.OpenFile(name, newFile, fileMode)
	}
	return f, err
}

// moveUnknown puts a file that the index does not know out of the way, without losing it.
func (p *Partition) moveUnknown(name string) error {
	to := dirSuperseded + "/unknown-" + rand.Text()
	if err := p.a.root.Rename(name, to); err != nil {
		return fmt.Errorf("move unknown file %s away: %w", name, err)
	}
	p.a.log.Warn("a file of unknown origin stood in the way", "file", name, "moved", to)
	return nil
}

// full says that a segment should be rotated before it takes more bytes.
func (p *Partition) full(t *segment) bool {
	age, _ := p.a.clock.read()
	return t.value.length > 0 && (t.value.length >= p.a.cfg.SegmentBytes || age-t.value.born >= p.a.cfg.SegmentAge)
}

// seal ends a segment: its file gets its final name and length. Bytes beyond the length, left by a message that failed, would otherwise stay in a
// file that nobody writes to again.
func (p *Partition) seal(t *segment) error {
	if t.value.length == 0 {
		return p.abandon(t)
	}
	if err := p.trim(t); err != nil {
		return fmt.Errorf("seal segment %s: %w", t.path(), err)
	}
	if t.value.state == active {
		if err := p.rotate(t); err != nil {
			return err
		}
	}
	t.value.state = sealed
	p.detach(t)
	p.pending.segments[t] = struct{}{}
	p.touch(t.source.host)
	return nil
}

// rotate renames an active file beside itself. Renaming onto another segment would destroy it: that is refused, whatever led there.
func (p *Partition) rotate(t *segment) error {
	from, to := t.path(), rotatedName(t.source.path, t.generation, t.start)
	if _, err := p.a.root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rotate segment %s: %s exists (%v)", from, to, err)
	}
	if err := at("rotate: checked"); err != nil {
		return err
	}
	if err := p.a.root.Rename(from, to); err != nil {
		return fmt.Errorf("rotate segment %s: %w", from, err)
	}
	p.pending.rename(to)
	p.a.stats.rotated.Add(1)
	return nil
}

// trim cuts what lies beyond the length.
func (p *Partition) trim(t *segment) error {
	if t.high <= t.value.length {
		return nil
	}
	h, err := p.use(t)
	if err != nil {
		return err
	}
	defer p.a.files.release(h)
	if err := h.Truncate(t.value.length); err != nil {
		return err
	}
	t.high = t.value.length
	return nil
}

// abandon removes a segment that never got a byte.
func (p *Partition) abandon(t *segment) error {
	p.detach(t)
	p.a.files.forget(t)
	return p.discard(t)
}

func (p *Partition) discard(t *segment) error {
	t.high = 0
	if err := p.a.root.Remove(t.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove empty segment %s: %w", t.path(), err)
	}
	return nil
}

// detach makes sure that nothing is appended to t again.
func (p *Partition) detach(t *segment) {
	if g := t.source.generations[t.generation]; g.tail == t {
		g.tail = nil
		p.pending.generations[g] = struct{}{}
	}
	if t.source.active == t {
		t.source.active = nil
	}
}

// write puts data at the end of t. It counts when the caller raises the length: until then the next write stands in its place.
func (p *Partition) write(t *segment, data []byte) error {
	h, err := p.use(t)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", t.path(), err)
	}
	defer p.a.files.release(h)
	t.high = max(t.high, t.value.length+int64(len(data)))
	if _, err := h.WriteAt(data, t.value.length); err != nil {
		return fmt.Errorf("append to segment %s: %w", t.path(), err)
	}
	return at("append: written")
}
