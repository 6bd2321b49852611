package lines_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

// counts is the part of a report that faults show in.
type counts struct{ lost, doubled, torn, reordered, misplaced uint64 }

func countsOf(r lines.Report) counts {
	return counts{r.Lost, r.Doubled, r.Torn, r.Reordered, r.Misplaced}
}

func TestCheckerFindsEachFault(t *testing.T) {
	cut := func(l [][]byte, i, at int) { l[i] = l[i][:at] }
	cases := []struct {
		name   string
		damage func(l [][]byte) [][]byte
		want   counts
	}{
		{"nothing wrong", func(l [][]byte) [][]byte { return l }, counts{}},
		{"a line lost", func(l [][]byte) [][]byte { return slices.Delete(l, 5, 6) }, counts{lost: 1}},
		{"the first lines lost", func(l [][]byte) [][]byte { return l[3:] }, counts{lost: 3}},
		{"the last lines lost", func(l [][]byte) [][]byte { return l[:90] }, counts{lost: 10}},
		{"all lines lost", func([][]byte) [][]byte { return nil }, counts{lost: 100}},
		{"a range lost over a word of the set", func(l [][]byte) [][]byte { return slices.Delete(l, 60, 70) }, counts{lost: 10}},
		{"a line doubled at once", func(l [][]byte) [][]byte { return slices.Insert(l, 5, l[4]) }, counts{doubled: 1}},
		{"a range doubled later", func(l [][]byte) [][]byte { return slices.Insert(l, 50, l[10:20]...) }, counts{doubled: 10}},
		{"two lines swapped", func(l [][]byte) [][]byte { l[7], l[8] = l[8], l[7]; return l }, counts{reordered: 1}},
		{"a range moved back", func(l [][]byte) [][]byte { return slices.Concat(l[:10], l[20:30], l[10:20], l[30:]) }, counts{reordered: 10}},
		{"a line cut at its end", func(l [][]byte) [][]byte { cut(l, 5, 40); return l }, counts{lost: 2, torn: 1}}, // joined with the next
		{"a line cut at its start", func(l [][]byte) [][]byte { l[5] = l[5][10:]; return l }, counts{lost: 1, torn: 1}},
		{"a line split in two", func(l [][]byte) [][]byte {
			return slices.Replace(l, 5, 6, slices.Concat(l[5][:30], []byte("\n")), l[5][30:])
		}, counts{lost: 1, torn: 2}},
		{"an empty line added", func(l [][]byte) [][]byte { return slices.Insert(l, 5, []byte("\n")) }, counts{torn: 1}},
		{"a bit flipped", func(l [][]byte) [][]byte { l[5][20] ^= 4; return l }, counts{lost: 1, torn: 1}},
		{"NUL bytes between lines", func(l [][]byte) [][]byte { return slices.Insert(l, 5, make([]byte, 500)) }, counts{lost: 1, torn: 1}},
		{"the last line torn", func(l [][]byte) [][]byte { cut(l, 99, 50); return l }, counts{lost: 1, torn: 1}},
		{"the last newline missing", func(l [][]byte) [][]byte { cut(l, 99, len(l[99])-1); return l }, counts{}},
		{"all at once", func(l [][]byte) [][]byte {
			l[7], l[8] = l[8], l[7]
			l[99] = l[99][1:]
			return slices.Concat(l[:20], l[19:40], l[41:])
		}, counts{lost: 2, doubled: 1, torn: 1, reordered: 1}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var c lines.Checker
			c.Expect("web1:a", 100)
			data := bytes.Join(tc.damage(text(t, "web1:a", 100)), nil)
			if err := c.Read("/a", bytes.NewReader(data)); err != nil {
				t.Fatal(err)
			}
			r := c.Report()
			if got := countsOf(r); got != tc.want {
				t.Errorf("got %+v, want %+v\n%s", got, tc.want, r)
			}
			if r.Clean() != (tc.want == counts{}) || (r.Err() == nil) != r.Clean() {
				t.Errorf("clean %v, error %v", r.Clean(), r.Err())
			}
		})
	}
}

func TestCheckerFindsMisplacedLines(t *testing.T) {
	var c lines.Checker
	a, b := text(t, "web1:a", 10), text(t, "web1:b", 10)
	for source, l := range map[string][][]byte{"/a": append(slices.Clone(a[:5]), b[9]), "/b": b[:9]} {
		if err := c.Read(source, bytes.NewReader(bytes.Join(l, nil))); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.Report(); r.Misplaced == 0 {
		t.Errorf("a line in a file of another origin: %s", r)
	}
}

func TestCheckerNamesWhatIsLost(t *testing.T) {
	var c lines.Checker
	l := text(t, "web1:a", 100)
	if err := c.Read("/a", bytes.NewReader(bytes.Join(slices.Concat(l[2:10], l[12:]), nil))); err != nil {
		t.Fatal(err)
	}
	want := []lines.Range{{From: 0, To: 2}, {From: 10, To: 12}}
	if got := c.Lost("web1:a"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if first, again := c.Report(), c.Report(); first.Lost != 4 || again.Lost != 4 || len(again.Faults) != 2 {
		t.Errorf("got %s, then %s", first, again)
	}
}

func TestLiveCheckerWaitsForTheEndOfTheLastLine(t *testing.T) {
	c := lines.Checker{Live: true}
	l := text(t, "web1:a", 10)
	l[9] = l[9][:30]
	if err := c.Read("/a", bytes.NewReader(bytes.Join(l, nil))); err != nil {
		t.Fatal(err)
	}
	if r := c.Report(); !r.Clean() || r.Lines != 9 {
		t.Errorf("got %s", r)
	}
}

func TestCheckerReturnsErrorsOfReading(t *testing.T) {
	var c lines.Checker
	if err := c.Read("/a", iotest.ErrReader(errors.ErrUnsupported)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
