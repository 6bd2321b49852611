package invariants

import (
	"cmp"
	"fmt"
	"slices"
)

// positions compares what the chain holds of each generation with the one archive that owns the partition, if it is at hand.
func (c *checker) positions(p Partition, chain Chain) {
	for _, a := range c.archives {
		if a.ID != p.Record.Owner {
			continue
		}
		table := chain.at(a.committed(p))
		parts := c.parts(a, chain.Host)
		for source, extents := range table {
			for generation, offset := range extents {
				where := fmt.Sprintf("%s:%s generation %d", chain.Host, source, generation)
				c.cover(where, parts[key{source, generation}], offset)
				delete(parts, key{source, generation})
			}
		}
		for k, left := range parts { // generations that the table has forgotten must still be without holes
			c.cover(fmt.Sprintf("%s:%s generation %d", chain.Host, k.source, k.generation), left, -1)
		}
	}
}

// at is the offset of each generation as of a sequence: a pure function of the table and the chain after it.
func (chain Chain) at(sequence uint64) map[string]map[uint64]int64 {
	table := chain.Table.Clone()
	for _, l := range chain.Links {
		if l.Sequence > table.Sequence && l.Sequence <= sequence && l.Batch != nil {
			table.Apply(l.Sequence, l.Batch)
		}
	}
	out := map[string]map[uint64]int64{}
	for source, extents := range table.Sources {
		out[source] = map[uint64]int64{}
		for _, e := range extents {
			out[source][e.Generation] = e.Offset
		}
	}
	return out
}

type key struct {
	source     string
	generation uint64
}

// part is a range of a generation, archived or declared missing.
type part struct {
	Bytes
	missing bool
}

// parts are all of them, of one host.
func (c *checker) parts(a Archive, host string) map[key][]part {
	out := map[key][]part{}
	for _, e := range a.Extents {
		if e.Host == host {
			k := key{e.Source, e.Generation}
			for _, r := range e.Ranges {
				out[k] = append(out[k], part{Bytes: r})
			}
		}
	}
	for _, m := range a.Ledger {
		if m.Host == host && m.Source != "" && m.To > m.From {
			k := key{m.Source, m.Generation}
			out[k] = append(out[k], part{m.Bytes, true})
		}
	}
	return out
}

// cover checks that the parts are disjoint and reach from 0 to want without a hole; want -1: wherever they end.
func (c *checker) cover(where string, parts []part, want int64) {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	var end, archived int64
	for _, p := range parts {
		if p.From > end {
			c.report("hole", where, "bytes %d to %d are neither archived nor in the ledger", end, p.From)
		}
		if !p.missing {
			if p.From < archived {
				c.report("overlap", where, "bytes %d to %d are archived twice", p.From, min(archived, p.To))
			}
			archived = max(archived, p.To)
		}
		end = max(end, p.To)
	}
	if want >= 0 && end != want {
		c.report("position", where, "archive and ledger end at %d, the chain at %d", end, want)
	}
}
