package invariants_test

import (
	"slices"
	"testing"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/invariants"
	"github.com/logdrive/logdrive/receiver/handover"
)

const stream = "LOGS-x-1-0"

func chunk(from, length int64) *wire.Batch {
	return &wire.Batch{Chunks: []wire.Chunk{{Source: "/a", Generation: 1, Offset: from, Length: length}}}
}

// sound is a hub and an archive that agree: three batches of 10, 10 and 5 bytes, the last but 2 bytes of the second declared missing.
func sound() (invariants.Hub, []invariants.Archive) {
	second := chunk(12, 8)
	second.Missing = []wire.Missing{{Source: "/a", Generation: 1, From: 10, To: 12, Reason: "deleted"}}
	hub := invariants.Hub{{
		Stream: stream, Last: 3,
		Record: handover.Record{Stream: stream, Epoch: 1, Owner: "one", Floor: 3, Epochs: []handover.Epoch{{Epoch: 1, Owner: "one"}}},
		Chains: []invariants.Chain{{Host: "web1", Links: []invariants.Link{
			{Sequence: 1, Batch: chunk(0, 10)},
			{Sequence: 2, Expected: 1, Batch: second},
			{Sequence: 3, Expected: 2, Batch: chunk(20, 5)},
		}}},
	}}
	archives := []invariants.Archive{{
		ID:      "one",
		Held:    map[string][]handover.Held{stream: {{Epoch: 1, To: 3}}},
		Extents: []invariants.Extent{{Host: "web1", Source: "/a", Generation: 1, Ranges: []invariants.Bytes{{From: 0, To: 10}, {From: 12, To: 25}}}},
		Ledger:  []invariants.Missing{{Host: "web1", Source: "/a", Generation: 1, Bytes: invariants.Bytes{From: 10, To: 12}}},
	}}
	return hub, archives
}

// shared takes the last batch from the archive: another one took over before it.
func shared(h invariants.Hub, a []invariants.Archive) {
	h[0].Record.Epoch, h[0].Record.Owner = 2, "two"
	h[0].Record.Epochs = append(h[0].Record.Epochs, handover.Epoch{Epoch: 2, Owner: "two", Start: 2})
	a[0].Held[stream][0].To = 2
	a[0].Extents[0].Ranges[1].To = 20
}

func TestCheckFindsEachViolation(t *testing.T) {
	for _, tc := range []struct {
		name string
		hurt func(h invariants.Hub, a []invariants.Archive) []invariants.Archive
		want []string
	}{
		{"nothing", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive { return a }, nil},
		{"purged below the floor, table there", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			c := &h[0].Chains[0]
			c.Table.Apply(1, c.Links[0].Batch)
			c.Table.Apply(2, c.Links[1].Batch)
			c.Links = c.Links[2:]
			return a
		}, nil},
		{"another archive holds the same", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive {
			return append(a, invariants.Archive{ID: "two", Held: map[string][]handover.Held{stream: {{Epoch: 1, After: 1, To: 2}}}})
		}, []string{"twice"}},
		{"a later epoch takes over below what an earlier one holds", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			h[0].Record.Epoch, h[0].Record.Owner = 2, "two"
			h[0].Record.Epochs = append(h[0].Record.Epochs, handover.Epoch{Epoch: 2, Owner: "two", Start: 2})
			return append(a, invariants.Archive{
				ID: "two", Held: map[string][]handover.Held{stream: {{Epoch: 2, After: 2, To: 3}}},
				Extents: a[0].Extents, Ledger: a[0].Ledger,
			})
		}, nil},
		{"two archives share the bytes", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			shared(h, a)
			return append(a, invariants.Archive{
				ID: "two", Held: map[string][]handover.Held{stream: {{Epoch: 2, After: 2, To: 3}}},
				Extents: []invariants.Extent{{Host: "web1", Source: "/a", Generation: 1, Ranges: []invariants.Bytes{{From: 20, To: 25}}}},
			})
		}, nil},
		{"two archives share the bytes with a hole", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			shared(h, a)
			return append(a, invariants.Archive{
				ID: "two", Held: map[string][]handover.Held{stream: {{Epoch: 2, After: 2, To: 3}}},
				Extents: []invariants.Extent{{Host: "web1", Source: "/a", Generation: 1, Ranges: []invariants.Bytes{{From: 21, To: 25}}}},
			})
		}, []string{"hole"}},
		{"a new owner has committed nothing yet", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			h[0].Record.Epoch, h[0].Record.Owner = 2, "two"
			h[0].Record.Epochs = append(h[0].Record.Epochs, handover.Epoch{Epoch: 2, Owner: "two", Start: 3})
			return append(a, invariants.Archive{ID: "two"})
		}, nil},
		{"nobody holds the last one", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive {
			a[0].Held[stream][0].To = 2
			return a
		}, []string{"unheld", "early", "position"}},
		{"a hole in what is held", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			h[0].Record.Epochs = []handover.Epoch{{Epoch: 1, Owner: "one", Start: 1}}
			a[0].Held[stream][0].After = 1
			return a
		}, []string{"unheld"}},
		{"a link is wrong", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			h[0].Chains[0].Links[2].Expected = 1
			return a
		}, []string{"unlinked"}},
		{"purged without a table", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			h[0].Chains[0].Links = h[0].Chains[0].Links[1:]
			return a
		}, []string{"unlinked"}},
		{"purged above the floor", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			h[0].Last = 4
			return a
		}, []string{"purged"}},
		{"the head is purged", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			c := &h[0].Chains[0]
			for _, l := range c.Links {
				c.Table.Apply(l.Sequence, l.Batch)
			}
			c.Links = nil
			return a
		}, []string{"purged"}},
		{"a table of the layout before, and nothing sent since", func(h invariants.Hub, a []invariants.Archive) []invariants.Archive {
			c := invariants.Chain{Host: "web2", Table: wire.Table{Writer: "w"}}
			h[0].Chains = append(h[0].Chains, c)
			return a
		}, nil},
		{"bytes archived twice", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive {
			a[0].Extents[0].Ranges = append(a[0].Extents[0].Ranges, invariants.Bytes{From: 14, To: 16})
			return a
		}, []string{"overlap"}},
		{"missing bytes not in the ledger", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive {
			a[0].Ledger = nil
			return a
		}, []string{"hole"}},
		{"archive ends too early", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive {
			a[0].Extents[0].Ranges[1].To = 24
			return a
		}, []string{"position"}},
		{"archive has nothing of it", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive {
			a[0].Extents, a[0].Ledger = nil, nil
			return a
		}, []string{"position"}},
		{"a forgotten generation has a hole", func(_ invariants.Hub, a []invariants.Archive) []invariants.Archive {
			a[0].Extents = append(a[0].Extents, invariants.Extent{Host: "web1", Source: "/old", Generation: 7, Ranges: []invariants.Bytes{{From: 5, To: 9}}})
			return a
		}, []string{"hole"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			hub, archives := sound()
			var got []string
			all := invariants.Check(hub, tc.hurt(hub, archives))
			for _, v := range all {
				got = append(got, v.Rule)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", all, tc.want)
			}
		})
	}
}
