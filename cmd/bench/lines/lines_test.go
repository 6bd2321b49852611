package lines_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)

func maker(t testing.TB, origin string, f lines.Format) *lines.Maker {
	t.Helper()
	m, err := lines.NewMaker(lines.Config{Origin: origin, Format: f, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// text makes n lines of an origin, each with its newline.
func text(t testing.TB, origin string, n int) [][]byte {
	t.Helper()
	m := maker(t, origin, lines.Combined)
	out := make([][]byte, n)
	for i := range out {
		out[i] = m.Append(nil, noon)
	}
	return out
}

func TestLinesAreOfTheSizeOfRealOnes(t *testing.T) {
	for f, want := range map[lines.Format][2]int{lines.Combined: {185, 215}, lines.JSON: {335, 365}} {
		m := maker(t, "web1:access", f)
		const n = 10000
		var b []byte
		for range n {
			b = m.Append(b, noon)
		}
		if got := len(b) / n; got < want[0] || got > want[1] {
			t.Errorf("%s: a line has %d bytes on average, want %v", f, got, want)
		}
	}
}

func TestJSONLinesAreJSON(t *testing.T) {
	m := maker(t, "web1:app", lines.JSON)
	for range 1000 {
		if line := m.Append(nil, noon); !json.Valid(line) {
			t.Fatalf("not JSON: %s", line)
		}
	}
}

func TestSameSeedSameLines(t *testing.T) {
	a, b := maker(t, "h:s", lines.JSON), maker(t, "h:s", lines.JSON)
	if got, want := a.AppendBlock(nil, 1e5, noon), b.AppendBlock(nil, 1e5, noon); !bytes.Equal(got, want) {
		t.Error("two makers of one seed differ")
	}
}

func TestParseReadsTheMark(t *testing.T) {
	for _, f := range []lines.Format{lines.Combined, lines.JSON} {
		m := maker(t, "web1:var/log/a-b_c.log", f)
		for n := range uint64(100) {
			got, err := lines.Parse(m.Append(nil, noon))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Origin) != m.Origin() || got.Number != n || got.Nanos != noon.UnixNano() {
				t.Fatalf("%s: got %s %d %d", f, got.Origin, got.Number, got.Nanos)
			}
		}
	}
}

func TestParseRefusesAnyCutOrChange(t *testing.T) {
	for _, f := range []lines.Format{lines.Combined, lines.JSON} {
		line := bytes.TrimSuffix(maker(t, "web1:a", f).Append(nil, noon), []byte("\n"))
		for i := range line {
			if _, err := lines.Parse(line[i+1:]); err == nil {
				t.Errorf("%s: whole without its first %d bytes", f, i+1)
			}
			if _, err := lines.Parse(line[:i]); err == nil {
				t.Errorf("%s: whole with its first %d bytes only", f, i)
			}
			changed := bytes.Clone(line)
			changed[i] ^= 1
			if _, err := lines.Parse(changed); err == nil {
				t.Errorf("%s: whole with byte %d changed", f, i)
			}
		}
	}
}

func TestMakerRefusesOriginsThatAMarkCannotCarry(t *testing.T) {
	for _, origin := range []string{"", "a b", "a#b", "a@b", "a~b", `a"b`, "a\nb"} {
		if _, err := lines.NewMaker(lines.Config{Origin: origin}); err == nil {
			t.Errorf("origin %q is taken", origin)
		}
	}
}

func FuzzParse(f *testing.F) {
	m := maker(f, "web1:a", lines.JSON)
	f.Add(m.Append(nil, noon))
	f.Add([]byte("#@~00000000"))
	f.Add([]byte(`{"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		mark, err := lines.Parse(line)
		if err == nil && strings.ContainsAny(string(mark.Origin), "\n") {
			t.Errorf("origin %q", mark.Origin)
		}
	})
}

func BenchmarkMake(b *testing.B) {
	for _, f := range []lines.Format{lines.Combined, lines.JSON} {
		b.Run(f.String(), func(b *testing.B) {
			m := maker(b, "web1:access", f)
			var buf []byte
			for b.Loop() {
				buf = m.AppendBlock(buf[:0], 1<<20, noon)
				b.SetBytes(int64(len(buf)))
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	data := maker(b, "web1:access", lines.Combined).AppendBlock(nil, 16<<20, noon)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var c lines.Checker
		if err := c.Read("a", bytes.NewReader(data)); err != nil || !c.Report().Clean() {
			b.Fatal(err, c.Report())
		}
	}
}
