package archive

import (
	"fmt"
	"strings"

	"github.com/logdrive/logdrive/cluster/wire"
	"go.etcd.io/bbolt"
)

// host is what a partition knows of one host: the end of its chain, its table, and the position in every generation it spoke of.
type host struct {
	name    string
	dir     string // below the archive
	value   hostValue
	table   wire.Table // a pure function of the chain; positions live in the generations
	sources map[string]*source
	files   map[string]bool // paths taken by sources
	dirs    map[string]bool // paths taken by directories above them
	border  uint64          // the cut that its latest change belongs to

	finished map[string]uint64 // sources that its table forgot while the archive was healed, and by which message
}

// source is a file as its host names it, and what stands for it here.
type source struct {
	host        *host
	id          uint64
	name        string
	path        string // below the archive
	generations map[uint64]*generation
	newest      uint64 // highest generation ever spoken of
	oldest      uint64 // lowest generation in the table
	active      *segment
	stored      bool // the index knows it
}

// generation is the position in one generation of a source.
type generation struct {
	source   *source
	number   uint64
	identity string
	offset   int64
	sequence uint64
	listed   bool
	tail     *segment // may grow; nil: the next bytes begin a segment
}

// loadHost reads a host from the index; one that the index does not know is empty.
func (a *Archive) loadHost(name string) (*host, error) {
	if err := a.cutHost(name); err != nil {
		return nil, err
	}
	h := &host{
		name: name, dir: a.hostDir(name), sources: map[string]*source{}, files: map[string]bool{}, dirs: map[string]bool{},
		table: wire.Table{Sources: wire.Sources{}},
	}
	err := a.db.View(func(tx *bbolt.Tx) error { return h.load(tx) })
	if err != nil {
		return nil, fmt.Errorf("load host %s from the archive index: %w", name, err)
	}
	return h, nil
}

func (h *host) load(tx *bbolt.Tx) error {
	data, err := getValue(tx, bucketHosts, []byte(h.name))
	if err != nil || data == nil {
		return err
	}
	if h.value, err = decodeHost(data); err != nil {
		return err
	}
	h.table.Sequence, h.table.Writer, h.table.Number, h.table.Forgotten = h.value.sequence, h.value.writer, h.value.number, h.value.used
	defer h.table.Weigh()
	return eachSource(tx, h.name, func(id uint64, v sourceValue) error {
		s := &source{host: h, id: id, name: v.source, path: h.dir + "/" + v.path, generations: map[uint64]*generation{}, stored: true}
		h.sources[v.source] = s
		h.claim(v.path)
		return s.load(tx)
	})
}

// eachSource walks the sources of a host, in no particular order.
func eachSource(tx *bbolt.Tx, host string, visit func(id uint64, v sourceValue) error) error {
	return eachValue(tx, bucketNames, append([]byte(host), 0), func(_, id []byte) error {
		v, err := sourceOf(tx, id)
		if err != nil {
			return err
		}
		return visit(keyUint(id, 0), v)
	})
}

// sourceOf is the source of an id, which is 8 bytes as in keys.
func sourceOf(tx *bbolt.Tx, id []byte) (sourceValue, error) {
	data, err := getValue(tx, bucketSources, id)
	if err != nil {
		return sourceValue{}, err
	}
	return decodeSourceValue(data)
}

func (s *source) load(tx *bbolt.Tx) error {
	return eachGeneration(tx, s.id, func(number uint64, v generationValue) error {
		s.newest = max(s.newest, number)
		if !v.listed && !v.open {
			return nil // found again by generation when somebody speaks of it
		}
		if v.listed {
			s.host.table.Sources[s.name] = append(s.host.table.Sources[s.name], v.extent)
		}
		return s.restore(tx, number, v)
	})
}

func eachGeneration(tx *bbolt.Tx, id uint64, visit func(number uint64, v generationValue) error) error {
	return eachValue(tx, bucketGenerations, keyUints(id), func(k, data []byte) error {
		v, err := decodeGeneration(keyUint(k, 1), data)
		if err != nil {
			return err
		}
		return visit(keyUint(k, 1), v)
	})
}

// restore brings a generation of the index into memory, with the segment it may append to.
func (s *source) restore(tx *bbolt.Tx, number uint64, v generationValue) error {
	g := &generation{source: s, number: number, identity: v.identity, offset: v.offset, sequence: v.sequence, listed: v.listed}
	s.generations[number] = g
	if v.listed && (s.oldest == 0 || number < s.oldest) {
		s.oldest = number
	}
	data, err := getValue(tx, bucketSegments, keyUints(s.id, number, uint64(v.tail)))
	if err != nil || !v.open || data == nil {
		return err
	}
	sv, err := decodeSegment(data)
	if err != nil || !sv.state.grows() {
		return err
	}
	g.tail = &segment{source: s, generation: number, start: v.tail, value: sv, high: sv.length}
	if sv.state == active {
		s.active = g.tail
	}
	return nil
}

// generation finds the position of a generation. One that left the table long ago is looked up: bytes of it that come
// again must be known as doubled.
func (a *Archive) generation(s *source, number uint64) (*generation, error) {
	if g := s.generations[number]; g != nil {
		return g, nil
	}
	if s.stored {
		err := a.db.View(func(tx *bbolt.Tx) error {
			data, err := getValue(tx, bucketGenerations, keyUints(s.id, number))
			if err != nil || data == nil {
				return err
			}
			v, err := decodeGeneration(number, data)
			if err != nil {
				return err
			}
			return s.restore(tx, number, v)
		})
		if err != nil {
			return nil, fmt.Errorf("look up generation %d of %s: %w", number, s.name, err)
		}
	}
	g := s.generations[number]
	if g == nil {
		g = &generation{source: s, number: number}
		s.generations[number] = g
	}
	s.newest = max(s.newest, number)
	return g, nil
}

// source finds a source, or gives it an id and a path.
func (a *Archive) source(h *host, name string) *source {
	s := h.sources[name]
	if s == nil {
		path := h.place(encodeSource(name, a.fold))
		s = &source{host: h, id: a.lastSource.Add(1), name: name, path: h.dir + "/" + path, generations: map[uint64]*generation{}}
		h.sources[name] = s
	}
	return s
}

// place finds a path for a new source: /a and /a/b may both be files on their host, here one of them must step aside.
func (h *host) place(encoded string) string {
	components := strings.Split(encoded, "/")
	last := len(components) - 1
	path := ""
	for i, c := range components {
		path += c
		for i < last && h.files[path] || i == last && h.dirs[path] { // what steps aside may meet what stepped aside before
			path += markClash
		}
		if i < last {
			path += "/"
		}
	}
	h.claim(path)
	return path
}

func (h *host) claim(path string) {
	h.files[path] = true
	for i := range len(path) {
		if path[i] == '/' {
			h.dirs[path[:i]] = true
		}
	}
}

// value is the generation as it stands in the index.
func (g *generation) value() generationValue {
	v := generationValue{identity: g.identity, offset: g.offset, sequence: g.sequence}
	if g.tail != nil && g.tail.value.length > 0 {
		v.open, v.tail = true, g.tail.start
	}
	if e := g.extent(); e != nil {
		v.listed, v.extent = true, *e
	}
	return v
}

// conflict says that another file than the archived one claims the generation.
func (g *generation) conflict() bool {
	e := g.extent()
	return e != nil && g.identity != "" && e.Identity != "" && e.Identity != g.identity
}

// extent is what the host's table says of the generation, nil when it is not listed there. The table may have forgotten more than it was asked about: that is no
// reason to fail, for what a host sends must not stop its partition.
func (g *generation) extent() *wire.Extent {
	if !g.listed {
		return nil
	}
	return g.source.host.table.Find(g.source.name, g.number)
}
