package tail_test

import (
	"bytes"
	"compress/gzip"
	"os"

	"github.com/logdrive/logdrive/cmd/e2e/torture"
	"github.com/logdrive/logdrive/shipper/tail"
)

// hub takes batches as the real one does: a declaration or a chunk that does not fit fails the test.
type hub struct {
	t    fataler
	data map[string]map[uint64][]byte
	gens map[string][]*tail.Generation
	miss []tail.Missing
	runs map[generationKey][]torture.Run // what came and what is missing, with its offsets
	// local is what a checkpoint beside the agent remembers.
	local map[string]map[uint64]tail.Generation
	count map[string]int
}

type generationKey struct {
	source string
	number uint64
}

// fataler is what ends a test: of testing or of rapid.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newHub(t fataler) *hub {
	return &hub{
		t: t, data: map[string]map[uint64][]byte{}, gens: map[string][]*tail.Generation{},
		local: map[string]map[uint64]tail.Generation{}, count: map[string]int{}, runs: map[generationKey][]torture.Run{},
	}
}

func (h *hub) find(source string, number uint64) *tail.Generation {
	for _, g := range h.gens[source] {
		if g.Number == number {
			return g
		}
	}
	h.t.Fatalf("generation %d of %s was not opened", number, source)
	return nil
}

func (h *hub) take(b *tail.Batch) {
	h.t.Helper()
	for _, o := range b.Opens {
		gens := h.gens[o.Source]
		if n := uint64(len(gens)); o.Generation != n+1 {
			h.t.Fatalf("open of generation %d of %s after %d", o.Generation, o.Source, n)
		}
		if n := len(gens); n > 0 {
			gens[n-1].Length = o.Previous
		}
		h.gens[o.Source] = append(gens, &tail.Generation{Source: o.Source, Number: o.Generation, Identity: o.Identity, Length: -1})
		if h.data[o.Source] == nil {
			h.data[o.Source] = map[uint64][]byte{}
		}
	}
	for _, m := range b.Missing {
		g := h.find(m.Source, m.Generation)
		if m.From != g.Offset {
			h.t.Fatalf("missing %+v at offset %d", m, g.Offset)
		}
		h.miss = append(h.miss, m)
		h.run(m.Source, m.Generation, torture.Run{From: m.From, To: m.To, Reason: m.Reason})
		if m.To >= 0 {
			g.Offset = m.To
		} else {
			g.Length = g.Offset
		}
		g.Check = tail.Check{}
	}
	rest := b.Data
	for _, c := range b.Chunks {
		g := h.find(c.Source, c.Generation)
		if c.Offset != g.Offset {
			h.t.Fatalf("chunk %+v at offset %d", c, g.Offset)
		}
		h.data[c.Source][c.Generation] = append(h.data[c.Source][c.Generation], rest[:c.Length]...)
		h.count[c.Source] += int(c.Lines)
		h.run(c.Source, c.Generation, torture.Run{From: c.Offset, To: c.Offset + c.Length, Data: bytes.Clone(rest[:c.Length])})
		g.Offset += c.Length
		g.Check = c.Check
		if n := int64(bytes.Count(rest[:c.Length], []byte{'\n'})); n != c.Lines {
			h.t.Fatalf("chunk %+v has %d lines", c, n)
		}
		rest = rest[c.Length:]
	}
	if len(rest) != 0 {
		h.t.Fatalf("%d bytes belong to no chunk", len(rest))
	}
}

// lines is how many lines came of a source.
func (h *hub) lines(source string) int { return h.count[source] }

// known is what the hub tells without any local state.
func (h *hub) known() []tail.Generation { return h.recovered(false) }

func (h *hub) remember(known []tail.Generation) {
	for _, k := range known {
		if h.local[k.Source] == nil {
			h.local[k.Source] = map[uint64]tail.Generation{}
		}
		h.local[k.Source][k.Number] = k
	}
}

// recovered is what the hub tells, joined with the local checkpoint if that is there.
func (h *hub) recovered(local bool) []tail.Generation {
	var all []tail.Generation
	for _, gens := range h.gens {
		for _, g := range gens {
			k := *g
			if l, ok := h.local[k.Source][k.Number]; ok && local {
				k.Seen, k.Path = l.Seen, l.Path
				if k.Length < 0 {
					k.Length = l.Length
				}
			}
			all = append(all, k)
		}
	}
	return all
}

func (h *hub) run(source string, number uint64, r torture.Run) {
	key := generationKey{source, number}
	h.runs[key] = append(h.runs[key], r)
}

// generations is what became of each byte of a source.
func (h *hub) generations(source string) (all []torture.Generation) {
	for _, g := range h.gens[source] {
		all = append(all, torture.Generation{Number: g.Number, Runs: h.runs[generationKey{source, g.Number}]})
	}
	return all
}

// all is everything that came of a source, generations joined.
func (h *hub) all(source string) string {
	var b []byte
	for i := range h.gens[source] {
		b = append(b, h.data[source][uint64(i+1)]...)
	}
	return string(b)
}

// last is what came of the newest generation of which anything came.
func (h *hub) last(source string) []byte {
	for i := len(h.gens[source]); i > 0; i-- {
		if data := h.data[source][uint64(i)]; len(data) > 0 {
			return data
		}
	}
	return nil
}

// missing is how many bytes were declared missing; that a file may have grown
// while nobody looked counts for nothing.
func (h *hub) missing() (n int64) {
	for _, m := range h.miss {
		n += max(0, m.To-m.From)
	}
	return n
}

// gzipFile packs a file as gzip(1) does: beside it, with its time, then it is removed.
func gzipFile(t fataler, path string) {
	t.Helper()
	if err := packFile(path); err != nil {
		t.Fatal(err)
	}
}

func packFile(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	if err := os.WriteFile(path+".gz", b.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.Chtimes(path+".gz", st.ModTime(), st.ModTime()); err != nil {
		return err
	}
	return os.Remove(path)
}
