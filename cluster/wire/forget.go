package wire

import (
	"cmp"
	"slices"
)

// MaxTable is the most that the sources of a table take, in bytes before compression: one that does not fit into a message could neither be written nor
// told to the agent, and without a table nothing of the host could ever be purged. That is 20,000 sources of two generations each with names of 100 bytes, and some.
const MaxTable = MaxPayload - MaxPayload/16

// Weight is how many bytes of MaxTable are taken.
func (t *Table) Weight() int { return t.weight }

// Weigh counts the weight anew, for who fills Sources by hand.
func (t *Table) Weigh() {
	t.weight = 0
	for source := range t.Sources {
		t.weight += t.weigh(source)
	}
}

func (t *Table) weigh(source string) int {
	n := nameWeight(source)
	for i := range t.Sources[source] {
		n += t.Sources[source][i].weight()
	}
	return n
}

// Forget drops a source and remembers that its numbers are used up. It reports whether there was one.
func (t *Table) Forget(source string) bool {
	extents := t.Sources[source]
	if len(extents) == 0 {
		return false
	}
	t.Forgotten = max(t.Forgotten, newest(extents))
	t.weight -= t.weigh(source)
	delete(t.Sources, source)
	return true
}

// bound keeps the table below MaxTable whatever the host sends, and gives the sources that paid for it. An agent that keeps its promises finishes
// sources, and begins none, long before: this is for the others, whose tables must not wedge the partition that they share with other
// hosts. A living source that is forgotten is shipped once more, as a new generation, when its agent says hello: doubled, never lost.
func (t *Table) bound() (forgotten []string) {
	if t.weight <= MaxTable {
		return nil
	}
	for source, extents := range t.Sources {
		if t.trim(source, len(extents)-1); len(t.Sources[source]) < len(extents) {
			forgotten = append(forgotten, source)
		}
	}
	if t.weight <= MaxTable {
		return forgotten
	}
	for _, source := range t.heaviest() {
		if t.weight <= MaxTable-MaxTable/4 { // to sort them at every batch would be slow
			break
		}
		t.Forget(source)
		forgotten = append(forgotten, source)
	}
	return forgotten
}

// heaviest orders the sources: fewest are forgotten that way.
func (t *Table) heaviest() []string {
	type weighed struct {
		source string
		weight int
	}
	all := make([]weighed, 0, len(t.Sources))
	for source := range t.Sources {
		all = append(all, weighed{source, t.weigh(source)})
	}
	slices.SortFunc(all, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.source, b.source))
	})
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = w.source
	}
	return names
}
