package wire

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// A table remembers up to mostKept generations of a source: they let an agent without state recognise rotated files that are archived already. An agent's checkpoint
// remembers all whose files stand; without it a file older than that many rotations is told by its times and name. A host with many sources
// remembers fewer of each, so that its table stays below MaxTable.
const (
	mostKept  = 64
	leastKept = 2
	allKept   = 48_000 // extents of a host
)

// Table is what the chain of one host holds: a pure function of its batches up to Sequence.
//
// It forgets the sources that the agent declares finished, or an endless stream of names would make it grow for ever. Their positions stay
// in the archives; here one number is left of them: every generation that was ever opened is at or below [Table.Next] of its source.
type Table struct {
	Sequence  uint64  `json:"sequence"`            // of the last batch that is in it; 0: none
	Writer    string  `json:"writer,omitempty"`    // of that batch
	Number    uint64  `json:"batch,omitempty"`     // of that batch
	Forgotten uint64  `json:"forgotten,omitempty"` // highest generation of any source that it has forgotten
	Sources   Sources `json:"sources,omitempty"`   // what it holds
	weight    int     // plain bytes that Sources take when encoded
}

// Sources holds the generations of each source, ascending.
type Sources map[string][]Extent

// Apply folds the batch stored at sequence into the table. Batches must come in the order of the chain. It returns the sources that lost
// generations without being named in an Open or Chunk: finished ones, and those that had to go because the table was full.
func (t *Table) Apply(sequence uint64, b *Batch) (forgotten []string) {
	t.Sequence, t.Writer, t.Number = sequence, b.Writer, b.Number
	if t.Sources == nil {
		t.Sources = Sources{}
	}
	for _, source := range b.Forgets {
		if t.Forget(source) {
			forgotten = append(forgotten, source)
		}
	}
	for _, o := range b.Opens {
		t.change(o.Source, o.Generation, func(e *Extent) { e.Identity = o.Identity })
		t.end(o.Source, o.Generation, o.Previous)
	}
	for _, m := range b.Missing {
		t.add(m.Source, m.Generation, func(e *Extent) { e.miss(m) })
	}
	for _, c := range b.Chunks {
		t.add(c.Source, c.Generation, func(e *Extent) { e.grow(c) })
	}
	return append(forgotten, t.bound()...)
}

// Next is the lowest number for a new generation of the source: no generation of it ever had this one or a higher. Whatever a host has sent: a
// number that was used for another file would make its bytes look like those.
func (t *Table) Next(source string) uint64 {
	return max(t.Forgotten, newest(t.Sources[source])) + 1
}

// newest is the highest generation of a source, 0 if there is none.
func newest(extents []Extent) uint64 {
	if len(extents) == 0 {
		return 0
	}
	return extents[len(extents)-1].Generation
}

// Join adds what another table of the same chain knows, be it older or newer: of each generation, what is further on. The other one has seen every batch up
// to its Sequence, this one may lack some, but none behind that. So what the other one has forgotten goes here as well; what it still holds and this
// one saw finished behind its Sequence, only the caller can tell.
func (t *Table) Join(o *Table, finished map[string]bool) {
	if o.Sequence > t.Sequence {
		t.Sequence, t.Writer, t.Number = o.Sequence, o.Writer, o.Number
	}
	if t.Sources == nil {
		t.Sources = Sources{}
	}
	for source, extents := range t.Sources {
		if len(o.Sources[source]) == 0 && newest(extents) <= o.Forgotten {
			t.Forget(source)
		}
	}
	t.Forgotten = max(t.Forgotten, o.Forgotten)
	for source, extents := range o.Sources {
		if finished[source] {
			t.Forgotten = max(t.Forgotten, newest(extents))
			continue
		}
		for _, e := range extents {
			t.change(source, e.Generation, func(mine *Extent) { mine.join(e) })
		}
	}
	t.bound()
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

// add changes an extent by what came of its generation. One that the table has forgotten, while it holds later ones, had ended: a late writer's bytes do not make
// it one that is waited for, or nothing of the source could be forgotten again.
func (t *Table) add(source string, generation uint64, do func(*Extent)) {
	late := generation < newest(t.Sources[source]) && t.Find(source, generation) == nil
	t.change(source, generation, func(e *Extent) {
		if late {
			e.Length = 0
		}
		do(e)
	})
}

// change makes a change to an extent, which is new if the generation is.
func (t *Table) change(source string, generation uint64, do func(*Extent)) {
	i, ok := t.index(source, generation)
	if !ok {
		i = t.insert(source, i, Extent{Generation: generation, Length: -1})
	}
	t.changeAt(source, i, do)
}

func (t *Table) changeAt(source string, i int, do func(*Extent)) {
	e := &t.Sources[source][i]
	t.weight -= e.weight()
	do(e)
	t.weight += e.weight()
}

// insert makes room for a generation, at the cost of the oldest, and gives its index.
func (t *Table) insert(source string, i int, e Extent) int {
	if len(t.Sources[source]) == 0 {
		t.weight += nameWeight(source)
	}
	t.Sources[source] = slices.Insert(t.Sources[source], i, e)
	t.weight += e.weight()
	return t.trim(source, i)
}

// end closes the generation before the one that was opened.
func (t *Table) end(source string, generation uint64, length int64) {
	i, _ := t.index(source, generation)
	if i == 0 || length < 0 {
		return
	}
	t.changeAt(source, i-1, func(before *Extent) { before.Length = max(length, before.Offset) })
}

// trim drops the oldest extents beyond those that are kept, as long as they have ended and are whole, and gives the new index of i.
func (t *Table) trim(source string, i int) int {
	extents := t.Sources[source]
	keep := min(max(allKept/len(t.Sources), leastKept), mostKept)
	for i > 0 && len(extents) > keep && extents[0].Ended() && extents[0].Offset >= extents[0].Length {
		t.weight -= extents[0].weight()
		extents, i = extents[1:], i-1
	}
	t.Sources[source] = extents
	return i
}

// Encode is the table as it stands in the bucket: compressed JSON, at most MaxPayload.
func (t *Table) Encode() ([]byte, error) { return packJSON(t) }

// DecodeTable is the inverse of Encode.
func DecodeTable(data []byte) (Table, error) {
	var t Table
	if err := unpackJSON(data, &t); err != nil {
		return Table{}, fmt.Errorf("decode table: %w", err)
	}
	return t, nil
}

// UnmarshalJSON is the inverse of marshalling, which leaves out what can be counted again.
func (t *Table) UnmarshalJSON(data []byte) error {
	type plain Table
	if err := json.Unmarshal(data, (*plain)(t)); err != nil {
		return err
	}
	t.Weigh()
	return nil
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
