package invariants

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/logdrive/logdrive/receiver/handover"
)

// positions compares what the chain holds of each generation with all archives together. The owner's must be among them; what lies in archives that
// are not at hand is no hole.
func (c *checker) positions(p Partition, chain Chain) {
	i := slices.IndexFunc(c.archives, func(a Archive) bool { return a.ID == p.Record.Owner })
	if i < 0 {
		return
	}
	table := chain.at(c.archives[i].committed(p))
	parts := map[key][]part{}
	for _, a := range c.archives {
		if a.reconciled(p) {
			a.addParts(parts, chain.Host)
		}
	}
	cover := coverage{checker: c, whole: c.complete(p)}
	for source, extents := range table {
		for generation, offset := range extents {
			where := fmt.Sprintf("%s:%s generation %d", chain.Host, source, generation)
			cover.check(where, parts[key{source, generation}], offset)
			delete(parts, key{source, generation})
		}
	}
	for k, left := range parts { // generations that the table has forgotten must still be without holes
		cover.check(fmt.Sprintf("%s:%s generation %d", chain.Host, k.source, k.generation), left, -1)
	}
}

// reconciled reports whether the archive holds nothing of the partition that a later epoch has archived again. One that missed a take-over
// sets that aside at its next start.
func (a *Archive) reconciled(p Partition) bool {
	return !slices.ContainsFunc(a.Held[p.Stream], func(h handover.Held) bool { return h.To > p.Record.Bound(h.Epoch) })
}

// complete reports whether the archives of all epochs are at hand, reconciled.
func (c *checker) complete(p Partition) bool {
	for _, e := range p.Record.Epochs {
		if !slices.ContainsFunc(c.archives, func(a Archive) bool { return a.ID == e.Owner && a.reconciled(p) }) {
			return false
		}
	}
	return true
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

// addParts adds all of them, of one host.
func (a *Archive) addParts(to map[key][]part, host string) {
	for _, e := range a.Extents {
		if e.Host == host {
			k := key{e.Source, e.Generation}
			for _, r := range e.Ranges {
				to[k] = append(to[k], part{Bytes: r})
			}
		}
	}
	for _, m := range a.Ledger {
		if m.Host == host && m.Source != "" && m.To > m.From {
			k := key{m.Source, m.Generation}
			to[k] = append(to[k], part{m.Bytes, true})
		}
	}
}

// coverage checks the parts of generations.
type coverage struct {
	*checker
	whole bool // all parts are known
}

// check finds parts that overlap, and that they do not reach from 0 to want without a hole; want -1: wherever they end.
func (c coverage) check(where string, parts []part, want int64) {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	var end, archived int64
	for _, p := range parts {
		if p.From > end && c.whole {
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
	if want >= 0 && end != want && (c.whole || end > want) {
		c.report("position", where, "archive and ledger end at %d, the chain at %d", end, want)
	}
}
