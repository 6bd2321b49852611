package wire

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// A table remembers up to mostKept generations of a source: they let an agent without state recognise rotated files that are archived already. A file
// older than that many rotations would be shipped anew, as a new generation. A host with many sources remembers fewer of each, so that its table, at some
// 90 bytes an extent, stays below MaxPayload: one that does not fit could neither be written nor told to the agent.
const (
	mostKept  = 64
	leastKept = 2
	allKept   = 48_000 // extents of a host
)

// Table is what the chain of one host holds: a pure function of its batches up to Sequence.
type Table struct {
	Sequence uint64  `json:"sequence"`          // of the last batch that is in it; 0: none
	Writer   string  `json:"writer,omitempty"`  // of that batch
	Number   uint64  `json:"batch,omitempty"`   // of that batch
	Sources  Sources `json:"sources,omitempty"` // what it holds
}

// Sources holds the generations of each source, ascending.
type Sources map[string][]Extent

// Extent is one generation in a table.
type Extent struct {
	Generation uint64 `json:"generation"`
	Identity   string `json:"identity,omitempty"` // "" until its Open is known
	Offset     int64  `json:"offset"`             // end of what the chain holds, missing ranges included
	Length     int64  `json:"length"`             // final length; -1 while it has not ended
	Check      Check  `json:"check"`              // of the bytes before Offset; Len 0 after a missing range
}

// Ended says that a successor was opened, or that the rest was declared missing.
func (e Extent) Ended() bool { return e.Length >= 0 }

// Apply folds the batch stored at sequence into the table. Batches must come in the order of the chain.
func (t *Table) Apply(sequence uint64, b *Batch) {
	t.Sequence, t.Writer, t.Number = sequence, b.Writer, b.Number
	if t.Sources == nil {
		t.Sources = Sources{}
	}
	for _, o := range b.Opens {
		t.extent(o.Source, o.Generation).Identity = o.Identity
		t.end(o.Source, o.Generation, o.Previous)
	}
	for _, m := range b.Missing {
		t.extent(m.Source, m.Generation).miss(m)
	}
	for _, c := range b.Chunks {
		t.extent(c.Source, c.Generation).grow(c)
	}
}

// Join adds what another table of the same chain knows, be it older or newer: of each generation, what is further on.
func (t *Table) Join(o *Table) {
	if o.Sequence > t.Sequence {
		t.Sequence, t.Writer, t.Number = o.Sequence, o.Writer, o.Number
	}
	if t.Sources == nil {
		t.Sources = Sources{}
	}
	for source, extents := range o.Sources {
		for _, e := range extents {
			if i, found := t.index(source, e.Generation); found {
				t.Sources[source][i].join(e)
			} else {
				t.Sources[source] = slices.Insert(t.Sources[source], i, e)
			}
		}
		t.forget(source, len(t.Sources[source]))
	}
}

// Find is the extent of a generation, or nil. It is valid until the next Apply.
func (t *Table) Find(source string, generation uint64) *Extent {
	if i, ok := t.index(source, generation); ok {
		return &t.Sources[source][i]
	}
	return nil
}

// Clone is a copy that later Applies to t do not change.
func (t *Table) Clone() Table {
	c := *t
	c.Sources = maps.Clone(t.Sources)
	for source, extents := range c.Sources {
		c.Sources[source] = slices.Clone(extents)
	}
	return c
}

func (t *Table) index(source string, generation uint64) (int, bool) {
	return slices.BinarySearchFunc(t.Sources[source], generation, func(e Extent, g uint64) int { return cmp.Compare(e.Generation, g) })
}

func (t *Table) extent(source string, generation uint64) *Extent {
	i, ok := t.index(source, generation)
	if !ok {
		t.Sources[source] = slices.Insert(t.Sources[source], i, Extent{Generation: generation, Length: -1})
		i = t.forget(source, i)
	}
	return &t.Sources[source][i]
}

// end closes the generation before the one that was opened.
func (t *Table) end(source string, generation uint64, length int64) {
	i, _ := t.index(source, generation)
	if i == 0 || length < 0 {
		return
	}
	before := &t.Sources[source][i-1]
	before.Length = max(length, before.Offset)
}

// forget drops the oldest extents beyond those that are kept, as long as they have ended and are whole, and gives the new index of i.
func (t *Table) forget(source string, i int) int {
	extents := t.Sources[source]
	keep := min(max(allKept/len(t.Sources), leastKept), mostKept)
	for i > 0 && len(extents) > keep && extents[0].Ended() && extents[0].Offset >= extents[0].Length {
		extents, i = extents[1:], i-1
	}
	t.Sources[source] = extents
	return i
}

func (e *Extent) grow(c Chunk) {
	if end := c.Offset + c.Length; end > e.Offset {
		e.Offset, e.Check = end, c.Check
	}
	if e.Ended() {
		e.Length = max(e.Length, e.Offset)
	}
}

func (e *Extent) join(o Extent) {
	if e.Identity == "" {
		e.Identity = o.Identity
	}
	if o.Offset > e.Offset {
		e.Offset, e.Check = o.Offset, o.Check
	}
	if o.Ended() || e.Ended() {
		e.Length = max(e.Length, o.Length, e.Offset)
	}
}

func (e *Extent) miss(m Missing) {
	if m.To < 0 {
		e.Length = e.Offset
		return
	}
	if m.To > e.Offset {
		e.Offset, e.Check = m.To, Check{}
	}
	if e.Ended() {
		e.Length = max(e.Length, e.Offset)
	}
}

// Encode is the table as it stands in the bucket: compressed JSON.
func (t *Table) Encode() ([]byte, error) { return packJSON(t) }

// DecodeTable is the inverse of Encode.
func DecodeTable(data []byte) (Table, error) {
	var t Table
	if err := unpackJSON(data, &t); err != nil {
		return Table{}, fmt.Errorf("decode table: %w", err)
	}
	return t, nil
}

// MarshalJSON escapes the sources: paths are bytes, JSON would replace those that are not UTF-8 and so join two sources into one.
func (s Sources) MarshalJSON() ([]byte, error) {
	escaped := make(map[string][]Extent, len(s))
	for source, extents := range s {
		escaped[escape(source)] = extents
	}
	return json.Marshal(escaped)
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (s *Sources) UnmarshalJSON(data []byte) error {
	var escaped map[string][]Extent
	if err := json.Unmarshal(data, &escaped); err != nil {
		return err
	}
	*s = make(Sources, len(escaped))
	for name, extents := range escaped {
		source, err := unescape(name)
		if err != nil {
			return err
		}
		(*s)[source] = extents
	}
	return nil
}
