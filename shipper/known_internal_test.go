package shipper

import (
	"testing"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// The table holds generation 9, and late bytes of 5, which it had forgotten. The checkpoint remembers more.
func TestWhatTheCheckpointKnowsBeyondTheTable(t *testing.T) {
	const source = "/var/log/a.log"
	id := func(n uint64) tail.Identity { return tail.Identity{Device: 1, Inode: n, Birth: 3, HeadLen: 4, Head: 5} }
	hint := func(n uint64, offset, length int64) tail.Generation {
		return tail.Generation{Source: source, Number: n, Identity: id(n), Offset: offset, Length: length, Seen: offset, Check: tail.Check{Len: 6, Sum: n}}
	}
	table := &wire.Table{Sources: wire.Sources{source: {
		{Generation: 5, Offset: 30, Length: 30},
		{Generation: 9, Identity: id(9).String(), Offset: 40, Length: -1},
	}}}
	chain := checkpoint.Chain{Stream: "S"}
	remembered := []tail.Generation{hint(3, 10, 10), hint(4, 10, -1), hint(5, 20, 20), hint(6, 0, 0), hint(7, 10, 10)}
	is := map[uint64]tail.Generation{}
	positions, gone := known(wire.Welcome{Stream: "S", Head: 77, Table: table}, chain, remembered)
	for _, g := range positions {
		is[g.Number] = g
	}
	if len(is) != 4 || len(gone) != 0 {
		t.Fatalf("known are %+v, gone %+v", positions, gone)
	}
	for _, n := range []uint64{3, 7} {
		if g := is[n]; !g.Forgotten || g.Identity != id(n) {
			t.Errorf("%d was shipped whole and is known as %+v", n, g)
		}
	}
	if g := is[5]; g.Forgotten || g.Identity != id(5) || g.Offset != 30 || g.Length != 30 {
		t.Errorf("late bytes made %+v", g)
	}
	if news := learned(positions, remembered); len(news) != 2 {
		t.Errorf("the checkpoint is told %+v, want what it did not say of 5 and 9", news)
	}
	positions, _ = known(wire.Welcome{Stream: "another", Head: 77, Table: table}, chain, remembered)
	if len(positions) != 2 {
		t.Errorf("of another chain's positions some are believed: %+v", positions)
	}
}
