package wire_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/logdrive/logdrive/cluster/wire"
)

func forget(sources ...string) wire.Batch { return wire.Batch{Forgets: sources} }

func opened(source string, generation uint64) wire.Batch {
	return wire.Batch{
		Opens:  []wire.Open{{Source: source, Generation: generation, Identity: fmt.Sprint("I", generation), Previous: -1}},
		Chunks: []wire.Chunk{{Source: source, Generation: generation, Length: 10}},
	}
}

func TestTableForgetsFinishedSources(t *testing.T) {
	table := fold(opened("/a", 1), opened("/a", 2), opened("/b", 1), forget("/a", "/never"))
	if len(table.Sources) != 1 || table.Forgotten != 2 {
		t.Fatalf("holds %+v after it forgot /a", table)
	}
	if a, b, c := table.Next("/a"), table.Next("/b"), table.Next("/c"); a != 3 || b != 3 || c != 3 {
		t.Errorf("next generations are %d, %d, %d: /a must not get one again that it had", a, b, c)
	}
	back := opened("/a", 3)
	back.Opens[0].Previous = 10
	table.Apply(5, &back)
	if got := table.Sources["/a"]; len(got) != 1 || got[0].Generation != 3 || got[0].Offset != 10 {
		t.Errorf("came back as %+v", got)
	}
}

// What a batch forgets it forgets first.
func TestForgottenAndOpenedInOneBatch(t *testing.T) {
	b := opened("/a", 2)
	b.Forgets = []string{"/a"}
	table := fold(opened("/a", 1), b)
	if got := table.Sources["/a"]; len(got) != 1 || got[0].Generation != 2 || table.Forgotten != 1 {
		t.Errorf("holds %+v", table)
	}
}

// An agent that forgets a living source, as none does, harms itself only: the table takes what comes as it comes, and no number is given twice.
func TestLivingSourceForgotten(t *testing.T) {
	table := fold(opened("/a", 1), opened("/a", 7), forget("/a"), wire.Batch{Chunks: []wire.Chunk{{Source: "/a", Generation: 2, Offset: 10, Length: 5}}})
	if got := table.Sources["/a"]; len(got) != 1 || got[0].Offset != 15 || got[0].Identity != "" {
		t.Errorf("holds %+v", got)
	}
	if next := table.Next("/a"); next != 8 {
		t.Errorf("next generation is %d, 7 was the last", next)
	}
}

func TestForgottenSurvivesTheBucket(t *testing.T) {
	table := fold(opened("/a", 4), opened("/b", 1), forget("/a"))
	if again := stored(t, table); !reflect.DeepEqual(again, table) || again.Forgotten != 4 {
		t.Errorf("%+v came back as %+v", table, again)
	}
	if data, err := table.Encode(); err != nil || len(data) == 0 {
		t.Fatal(err)
	}
}

// TestNumbersAreNeverGivenTwice plays an agent with few names, whose files come and go, and an archive that is restored from an old copy and reads again what
// the stream still has: whatever table is joined with whatever other, the next number is one that no file of the source has had.
func TestNumbersAreNeverGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var chain []wire.Batch
		var table wire.Table
		used := map[string]uint64{}
		tables := []wire.Table{{}}
		for range rapid.IntRange(1, 60).Draw(t, "batches") {
			b := agentBatch(t, &table, used)
			chain = append(chain, b)
			table.Apply(uint64(len(chain)), &b)
			tables = append(tables, table.Clone())
			for source, last := range used {
				if next := table.Next(source); next <= last {
					t.Fatalf("%s had generation %d, the next is %d", source, last, next)
				}
			}
		}
		copied := rapid.IntRange(0, len(chain)).Draw(t, "copied")
		purged := rapid.IntRange(copied, len(chain)).Draw(t, "purged")
		restored := tables[copied].Clone()
		finished := map[string]bool{}
		for i := purged; i < len(chain); i++ {
			restored.Apply(uint64(i+1), &chain[i])
			for _, source := range chain[i].Forgets {
				finished[source] = true
			}
		}
		restored.Join(&tables[purged], finished)
		for source, last := range used {
			if next := restored.Next(source); next <= last {
				t.Fatalf("%s had generation %d, the next after joining is %d", source, last, next)
			}
		}
		for source := range table.Sources {
			for _, e := range table.Sources[source] {
				if got := restored.Find(source, e.Generation); got == nil || got.Offset != e.Offset || got.Identity != e.Identity {
					t.Fatalf("%s: %+v is %+v in the joined table", source, e, got)
				}
			}
		}
		if len(restored.Sources) != len(table.Sources) || restored.Forgotten != table.Forgotten {
			t.Fatalf("joined %+v, want %+v", restored, table)
		}
	})
}

// agentBatch is what an honest agent may send next.
func agentBatch(t *rapid.T, table *wire.Table, used map[string]uint64) wire.Batch {
	source := rapid.SampledFrom([]string{"/a", "/b", "/c", "/d"}).Draw(t, "source")
	extents := table.Sources[source]
	switch action := rapid.SampledFrom([]string{"open", "grow", "forget"}).Draw(t, "action"); {
	case action == "forget" && len(extents) > 0:
		return forget(source)
	case action == "grow" && len(extents) > 0:
		last := extents[len(extents)-1]
		return wire.Batch{Chunks: []wire.Chunk{{Source: source, Generation: last.Generation, Offset: last.Offset, Length: 5}}}
	}
	used[source] = table.Next(source)
	b := opened(source, used[source])
	if len(extents) > 0 {
		b.Opens[0].Previous = extents[len(extents)-1].Offset
	}
	return b
}

// churn makes a host of which a new name comes with every batch and the one that came depth before goes.
func churn(table *wire.Table, names, depth int) (largest int) {
	for i := range names {
		b := opened(fmt.Sprintf("/var/log/containers/job-%08d_default_main-%016x.log", i, wire.Sum(fmt.Append(nil, i))), table.Forgotten+1)
		if i >= depth {
			b.Forgets = []string{fmt.Sprintf("/var/log/containers/job-%08d_default_main-%016x.log", i-depth, wire.Sum(fmt.Append(nil, i-depth)))}
		}
		table.Apply(table.Sequence+1, &b)
		largest = max(largest, table.Weight())
	}
	return largest
}

func TestChurnDoesNotGrowTheTable(t *testing.T) {
	var table wire.Table
	if largest := churn(&table, 30_000, 1000); largest > 200<<10 || len(table.Sources) != 1000 {
		t.Errorf("the table grew to %d bytes and holds %d sources", largest, len(table.Sources))
	}
	if table.Forgotten < 29 || table.Forgotten > 30 {
		t.Errorf("numbers have grown to %d: by one each time all names have changed", table.Forgotten)
	}
}

// TestHostileTablesStaySmall: whatever a host sends, its table fits into a message, and folding it stays cheap.
func TestHostileTablesStaySmall(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 20_000)
	for i := range noise {
		noise[i] = byte(1 + r.IntN(255))
	}
	identity := strings.Repeat("i", 256)
	for name, source := range map[string]func(i int) string{
		"long names":      func(i int) string { return "/" + string(noise[i%16000:][:4000]) },
		"short names":     func(i int) string { return fmt.Sprintf("/%x", i) },
		"one source":      func(int) string { return "/a" },
		"names of quotes": func(i int) string { return strings.Repeat("\"<", 500) + fmt.Sprint(i) },
	} {
		t.Run(name, func(t *testing.T) {
			var table wire.Table
			used := map[string]uint64{}
			batches := 40_000
			if len(source(0)) > 100 {
				batches = 8_000
			}
			for i := range batches {
				s := source(i)
				b := wire.Batch{Opens: []wire.Open{{Source: s, Generation: uint64(i + 1), Identity: identity, Previous: int64(i) + 7}}}
				gone := table.Apply(uint64(i+1), &b)
				used[s] = uint64(i + 1)
				if table.Weight() > wire.MaxTable {
					t.Fatalf("batch %d: the table weighs %d", i, table.Weight())
				}
				if slices.Contains(gone, s) && len(table.Sources[s]) != 0 {
					t.Fatalf("batch %d: says that %q is forgotten", i, s)
				}
			}
			data, err := table.Encode()
			if err != nil || len(data) > wire.MaxPayload-64<<10 {
				t.Fatalf("the table takes %d bytes, %v", len(data), err)
			}
			again := stored(t, table)
			if again.Weight() != table.Weight() {
				t.Errorf("counted %d bytes on the way, %d when it was read", table.Weight(), again.Weight())
			}
			for s, last := range used {
				if next := table.Next(s); next <= last {
					t.Fatalf("%q had generation %d, the next is %d", s, last, next)
				}
			}
		})
	}
}

// The weight is what is encoded, but for a comma less in each list and the braces around all.
func TestWeightIsWhatIsEncoded(t *testing.T) {
	table := fold(opened("/a\xff<\"", 1), opened("/b", 12), opened("/b", 13), wire.Batch{Missing: []wire.Missing{{Source: "/c", Generation: 3, To: -1, Reason: "r"}}})
	plain, err := table.Sources.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if want := len(plain) + len(table.Sources) - 1; table.Weight() != want {
		t.Errorf("weight is %d, want %d: %s", table.Weight(), want, plain)
	}
}

func BenchmarkTable(b *testing.B) {
	var table wire.Table
	churn(&table, 20_000, 20_000)
	b.Run("encode 20000 sources", func(b *testing.B) {
		for b.Loop() {
			data, err := table.Encode()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(data)), "bytes")
		}
	})
	data, err := table.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode 20000 sources", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := wire.DecodeTable(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("apply", func(b *testing.B) {
		batch := wire.Batch{Chunks: []wire.Chunk{{Source: "/var/log/x", Generation: 1, Length: 1}}}
		for b.Loop() {
			table.Apply(table.Sequence+1, &batch)
		}
	})
}
