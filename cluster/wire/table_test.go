package wire_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/logdrive/logdrive/cluster/wire"
)

const log = "/var/log/a.log"

func open(generation uint64, identity string, previous int64) wire.Open {
	return wire.Open{Source: log, Generation: generation, Identity: identity, Previous: previous}
}

func chunk(generation uint64, offset, length int64) wire.Chunk {
	return wire.Chunk{Source: log, Generation: generation, Offset: offset, Length: length, Check: wire.Check{Len: int(length), Sum: uint64(offset + length)}}
}

func missing(generation uint64, from, to int64) wire.Missing {
	return wire.Missing{Source: log, Generation: generation, From: from, To: to, Reason: "deleted"}
}

func fold(batches ...wire.Batch) wire.Table {
	var t wire.Table
	for i, b := range batches {
		t.Apply(uint64(i+1), &b)
	}
	return t
}

func TestTableFolds(t *testing.T) {
	check := func(end int64, length int) wire.Check { return wire.Check{Len: length, Sum: uint64(end)} }
	tests := []struct {
		name    string
		batches []wire.Batch
		want    []wire.Extent
	}{
		{
			"a generation grows",
			[]wire.Batch{{Opens: []wire.Open{open(1, "A", -1)}, Chunks: []wire.Chunk{chunk(1, 0, 10), chunk(1, 10, 5)}}, {Chunks: []wire.Chunk{chunk(1, 15, 5)}}},
			[]wire.Extent{{Generation: 1, Identity: "A", Offset: 20, Length: -1, Check: check(20, 5)}},
		},
		{
			"the next generation ends it",
			[]wire.Batch{{Opens: []wire.Open{open(1, "A", -1)}, Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Opens: []wire.Open{open(2, "B", 10)}, Chunks: []wire.Chunk{chunk(2, 0, 3)}}},
			[]wire.Extent{
				{Generation: 1, Identity: "A", Offset: 10, Length: 10, Check: check(10, 10)},
				{Generation: 2, Identity: "B", Offset: 3, Length: -1, Check: check(3, 3)},
			},
		},
		{
			"a late writer lengthens what had ended",
			[]wire.Batch{{Opens: []wire.Open{open(1, "A", -1)}, Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Opens: []wire.Open{open(2, "B", 10)}}, {Chunks: []wire.Chunk{chunk(1, 10, 4)}}},
			[]wire.Extent{
				{Generation: 1, Identity: "A", Offset: 14, Length: 14, Check: check(14, 4)},
				{Generation: 2, Identity: "B", Length: -1},
			},
		},
		{
			"a range is missing",
			[]wire.Batch{{Opens: []wire.Open{open(1, "A", -1)}, Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Missing: []wire.Missing{missing(1, 10, 30)}}, {Chunks: []wire.Chunk{chunk(1, 30, 2)}}},
			[]wire.Extent{{Generation: 1, Identity: "A", Offset: 32, Length: -1, Check: check(32, 2)}},
		},
		{
			"nothing proves the bytes before a missing range's end",
			[]wire.Batch{{Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Missing: []wire.Missing{missing(1, 10, 30)}}},
			[]wire.Extent{{Generation: 1, Offset: 30, Length: -1}},
		},
		{
			"the rest of unknown length is missing",
			[]wire.Batch{{Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Missing: []wire.Missing{missing(1, 10, -1)}}},
			[]wire.Extent{{Generation: 1, Offset: 10, Length: 10, Check: check(10, 10)}},
		},
		{
			"what was stored twice does not go back",
			[]wire.Batch{{Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Chunks: []wire.Chunk{chunk(1, 0, 5)}}, {Missing: []wire.Missing{missing(1, 2, 4)}}},
			[]wire.Extent{{Generation: 1, Offset: 10, Length: -1, Check: check(10, 10)}},
		},
		{
			"a successor of unknown predecessor ends nothing",
			[]wire.Batch{{Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Opens: []wire.Open{open(2, "B", -1)}}},
			[]wire.Extent{{Generation: 1, Offset: 10, Length: -1, Check: check(10, 10)}, {Generation: 2, Identity: "B", Length: -1}},
		},
		{
			"no generation ends before what is held of it",
			[]wire.Batch{{Chunks: []wire.Chunk{chunk(1, 0, 10)}}, {Opens: []wire.Open{open(2, "B", 4)}}},
			[]wire.Extent{{Generation: 1, Offset: 10, Length: 10, Check: check(10, 10)}, {Generation: 2, Identity: "B", Length: -1}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := fold(tt.batches...)
			if got := table.Sources[log]; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("holds %+v, want %+v", got, tt.want)
			}
			if table.Sequence != uint64(len(tt.batches)) {
				t.Errorf("is as of %d, want %d", table.Sequence, len(tt.batches))
			}
		})
	}
}

// TestWhatIsNoBatchIsALink: garbage in the chain moves the sequence, else the chain would look broken behind it, and changes nothing else.
func TestWhatIsNoBatchIsALink(t *testing.T) {
	table := fold(wire.Batch{Writer: "w", Number: 7, Chunks: []wire.Chunk{chunk(1, 0, 10)}})
	want := table.Clone()
	want.Sequence = 9
	table.Fold(9, map[string][]string{"Foo": {"bar"}})
	if !reflect.DeepEqual(table, want) {
		t.Errorf("table is %+v, want %+v", table, want)
	}
}

// TestTableForgetsOldGenerations keeps a source that rotates for ever from growing the table, but never forgets one with bytes outstanding.
func TestTableForgetsOldGenerations(t *testing.T) {
	var whole, torn wire.Table
	for g := uint64(1); g <= 200; g++ {
		b := wire.Batch{Opens: []wire.Open{open(g, fmt.Sprint("I", g), 10)}, Chunks: []wire.Chunk{chunk(g, 0, 10)}}
		whole.Apply(g, &b)
		if g == 1 {
			b.Chunks = nil
		}
		torn.Apply(g, &b)
	}
	if n := len(whole.Sources[log]); n != 64 {
		t.Errorf("%d generations are kept, want 64", n)
	}
	if whole.Find(log, 137) == nil || whole.Find(log, 136) != nil {
		t.Errorf("the newest are not the ones kept")
	}
	if torn.Find(log, 1) == nil {
		t.Errorf("generation 1 is forgotten, of which 10 bytes are outstanding")
	}
}

// A late writer to a generation that is forgotten does not keep the table from forgetting others.
func TestLateBytesOfAForgottenGeneration(t *testing.T) {
	var table wire.Table
	rotate := func(from, to uint64) {
		for g := from; g < to; g++ {
			table.Apply(table.Sequence+1, &wire.Batch{Opens: []wire.Open{open(g, fmt.Sprint("I", g), 10)}, Chunks: []wire.Chunk{chunk(g, 0, 10)}})
		}
	}
	rotate(1, 100)
	table.Apply(table.Sequence+1, &wire.Batch{Chunks: []wire.Chunk{chunk(20, 10, 5)}})
	if e := table.Find(log, 20); e == nil || e.Offset != 15 || !e.Ended() {
		t.Errorf("holds %+v of it", e)
	}
	rotate(100, 300)
	if n := len(table.Sources[log]); n != 64 || table.Find(log, 20) != nil {
		t.Errorf("%d generations are kept, generation 20 among them: %v", n, table.Find(log, 20))
	}
	table.Apply(table.Sequence+1, &wire.Batch{Missing: []wire.Missing{missing(20, 15, 20)}})
	rotate(300, 500)
	if n := len(table.Sources[log]); n != 64 {
		t.Errorf("%d generations are kept", n)
	}
}

func TestCloneIsIndependent(t *testing.T) {
	table := fold(wire.Batch{Chunks: []wire.Chunk{chunk(1, 0, 10)}})
	clone := table.Clone()
	table.Apply(2, &wire.Batch{Chunks: []wire.Chunk{chunk(1, 10, 10), {Source: "/b", Generation: 1, Length: 1}}})
	if got := clone.Find(log, 1).Offset; got != 10 || len(clone.Sources) != 1 || clone.Sequence != 1 {
		t.Errorf("clone changed: %+v", clone)
	}
}

// TestTableKeepsSourcesApart: two paths that differ only in bytes that are no UTF-8 are one in naive JSON.
func TestTableKeepsSourcesApart(t *testing.T) {
	var table wire.Table
	for i, source := range []string{"/a\xff", "/a\xfe", "/a\uFFFD", "/a%FF", "/a\nb", "/a<&>"} {
		table.Apply(uint64(i+1), &wire.Batch{Chunks: []wire.Chunk{{Source: source, Generation: 1, Length: int64(i + 1)}}})
	}
	data, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.DecodeTable(data)
	if err != nil || !reflect.DeepEqual(got, table) {
		t.Errorf("decoded %+v, %v; want %+v", got, err, table)
	}
}

func TestDamagedTablesAreRefused(t *testing.T) {
	table := fold(wire.Batch{Writer: "w", Chunks: []wire.Chunk{chunk(1, 0, 10)}})
	data, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(data) {
		if _, err := wire.DecodeTable(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a table", n, len(data))
		}
	}
	if _, err := wire.DecodeTable([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("a claim of 4 GiB gives %v, want ErrMalformed", err)
	}
}

func TestHelloAndWelcome(t *testing.T) {
	hello := wire.Hello{Version: 1, Writer: "W", Session: "S", After: 7}
	data, err := hello.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := wire.DecodeHello(data); err != nil || got != hello {
		t.Errorf("hello came as %+v, %v", got, err)
	}
	table := fold(wire.Batch{Writer: "w", Chunks: []wire.Chunk{chunk(1, 0, 10)}})
	welcome := wire.Welcome{Version: 1, Stream: "LOGS-H-1-0", Head: 1, Archived: 1, MaxBatch: 5, Table: &table}
	if data, err = welcome.Encode(); err != nil {
		t.Fatal(err)
	}
	if got, err := wire.DecodeWelcome(data); err != nil || !reflect.DeepEqual(got, welcome) {
		t.Errorf("welcome came as %+v, %v; want %+v", got, err, welcome)
	}
	if _, err := wire.DecodeHello([]byte("{")); err == nil {
		t.Error("half a hello is taken for one")
	}
	if _, err := wire.DecodeWelcome([]byte("no s2")); err == nil {
		t.Error("garbage is taken for a welcome")
	}
}

// FuzzTable: a table is a pure function of the chain. Folded in one go, or stored, read and cloned anywhere on the way, it is the same; and no
// position ever goes back.
func FuzzTable(f *testing.F) {
	f.Add(uint64(1), uint8(20))
	f.Add(uint64(2), uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		var straight, winding wire.Table
		for seq := uint64(1); seq <= uint64(n); seq++ {
			b := randomBatch(r)
			before := straight.Clone()
			forgotten := straight.Apply(seq, &b)
			if again := winding.Apply(seq, &b); !reflect.DeepEqual(forgotten, again) {
				t.Fatalf("seed %d: forgets %q, and %q when it was stored before", seed, forgotten, again)
			}
			if r.IntN(8) == 0 {
				winding = stored(t, winding.Clone())
			}
			monotone(t, before, straight, b.Forgets)
		}
		if !reflect.DeepEqual(stored(t, straight), stored(t, winding)) {
			t.Fatalf("seed %d: the way matters: %+v, %+v", seed, straight, winding)
		}
	})
}

func stored(t *testing.T, table wire.Table) wire.Table {
	data, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := wire.DecodeTable(data)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func monotone(t *testing.T, before, after wire.Table, forgets []string) {
	for source, extents := range before.Sources {
		if after.Next(source) < before.Next(source) {
			t.Fatalf("%s: next generation is %d after %d", source, after.Next(source), before.Next(source))
		}
		if len(extents) > 50 || slices.Contains(forgets, source) {
			continue // what is forgotten and named again, as no agent does, begins anew
		}
		for _, e := range extents {
			if now := after.Find(source, e.Generation); now != nil && (now.Offset < e.Offset || e.Ended() && !now.Ended() || now.Ended() && now.Length < now.Offset) {
				t.Fatalf("%s: %+v became %+v", source, e, *now)
			}
		}
		for i, e := range after.Sources[source] {
			if i > 0 && after.Sources[source][i-1].Generation >= e.Generation {
				t.Fatalf("%s: generations out of order: %+v", source, after.Sources[source])
			}
		}
	}
}

func randomBatch(r *rand.Rand) wire.Batch {
	source := func() string { return fmt.Sprintf("/%c\xff", 'a'+rune(r.IntN(2))) }
	generation := func() uint64 { return uint64(1 + r.IntN(90)) }
	var b wire.Batch
	if r.IntN(16) == 0 {
		b.Forgets = append(b.Forgets, source())
	}
	for range r.IntN(3) {
		b.Opens = append(b.Opens, wire.Open{Source: source(), Generation: generation(), Identity: fmt.Sprint(r.IntN(9)), Previous: r.Int64N(50) - 1})
	}
	for range r.IntN(2) {
		from := r.Int64N(100)
		b.Missing = append(b.Missing, wire.Missing{Source: source(), Generation: generation(), From: from, To: from + 1 + r.Int64N(20), Reason: "r"})
		if r.IntN(3) == 0 {
			b.Missing[0].To = -1
		}
	}
	for range r.IntN(5) {
		b.Chunks = append(b.Chunks, wire.Chunk{Source: source(), Generation: generation(), Offset: r.Int64N(100), Length: 1 + r.Int64N(20), Check: wire.Check{Len: r.IntN(2), Sum: r.Uint64()}})
	}
	return b
}

// A host whose table does not fit into a message could not go on.
func TestTableOfManyRotatedSourcesFitsIntoAMessage(t *testing.T) {
	const sources, rotations = 20_000, 5
	var table wire.Table
	for g := uint64(1); g <= rotations; g++ {
		for i := range sources {
			name := fmt.Sprintf("/var/log/service/%d.log", i)
			table.Apply(table.Sequence+1, &wire.Batch{
				Writer: "w",
				Opens:  []wire.Open{{Source: name, Generation: g, Identity: fmt.Sprintf("fe00-%x-%x-256-%016x", i, g, wire.Sum([]byte(name))), Previous: 100}},
				Chunks: []wire.Chunk{{Source: name, Generation: g, Length: 100, Check: wire.Check{Len: 100, Sum: wire.Sum([]byte(name)) + g}}},
			})
		}
	}
	data, err := table.Encode()
	if err != nil || len(data) > wire.MaxPayload || len(table.Sources) != sources {
		t.Fatalf("the table of %d sources takes %d bytes, %v; at most %d fit", len(table.Sources), len(data), err, wire.MaxPayload)
	}
	t.Logf("%d sources: weight %d, encoded %d", sources, table.Weight(), len(data))
}
