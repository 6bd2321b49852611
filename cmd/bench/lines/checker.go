package lines

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
)

// maxLine is the longest line a Checker reads whole.
const maxLine = 256 << 20

// Checker follows the lines of any number of origins through any number of sources. The zero value is ready.
type Checker struct {
	// Live says that sources are still being written: a last line without its newline is no fault yet, nor is it a line.
	Live bool

	origins map[string]*origin
	report  Report
	listed  map[Kind]int
}

type origin struct {
	name   string
	source string // where its first line stood
	seen   seen
	expect uint64 // how many lines there must be; 0 if not known
}

// Expect says how many lines an origin wrote: without it the loss of its last lines, or of all, goes unnoticed.
func (c *Checker) Expect(name string, lines uint64) { c.origin(name, "").expect = lines }

// Read checks one source: its generations joined, the oldest first. Only errors of reading are returned.
func (c *Checker) Read(source string, r io.Reader) error {
	c.report.Sources++
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 256<<10), maxLine)
	s.Split(wholeLines)
	var offset int64
	for s.Scan() {
		line := s.Bytes()
		c.line(source, offset, line)
		offset += int64(len(line))
	}
	c.report.Bytes += offset
	if err := s.Err(); err != nil {
		return fmt.Errorf("check %s after byte %d: %w", source, offset, err)
	}
	return nil
}

// wholeLines is a bufio.SplitFunc that keeps the newline, so that offsets are exact and an open end is seen.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func (c *Checker) line(source string, offset int64, line []byte) {
	if c.Live && line[len(line)-1] != '\n' {
		return
	}
	m, err := Parse(line)
	if err != nil || m.Number >= maxNumber {
		c.fault(Fault{Kind: Torn, Source: source, Offset: offset})
		return
	}
	c.report.Lines++
	o, ok := c.origins[string(m.Origin)]
	if !ok || o.source == "" {
		o = c.origin(string(m.Origin), source)
	}
	c.place(o, source, offset, m.Number)
}

// place finds what is wrong with a whole line; a doubled line is not called reordered as well.
func (c *Checker) place(o *origin, source string, offset int64, number uint64) {
	late := number < o.seen.end
	f := Fault{Source: source, Offset: offset, Origin: o.name, Range: Range{From: number, To: number + 1}}
	if o.seen.add(number) {
		f.Kind = Doubled
		c.fault(f)
	} else if late {
		f.Kind = Reordered
		c.fault(f)
	}
	if o.source != source {
		f.Kind = Misplaced
		c.fault(f)
	}
}

func (c *Checker) origin(name, source string) *origin {
	if c.origins == nil {
		c.origins = map[string]*origin{}
	}
	o := c.origins[name]
	if o == nil {
		o = &origin{name: name}
		c.origins[name] = o
	}
	o.source = cmp.Or(o.source, source)
	return o
}

func (c *Checker) fault(f Fault) {
	n := max(1, f.To-f.From)
	switch f.Kind {
	case Lost:
		c.report.Lost += n
	case Doubled:
		c.report.Doubled += n
	case Torn:
		c.report.Torn += n
	case Reordered:
		c.report.Reordered += n
	case Misplaced:
		c.report.Misplaced += n
	}
	if c.listed == nil {
		c.listed = map[Kind]int{}
	}
	if c.listed[f.Kind]++; c.listed[f.Kind] <= maxFaults {
		c.report.Faults = append(c.report.Faults, f)
	}
}

// Lost lists the numbers of an origin that have not been seen.
func (c *Checker) Lost(name string) []Range {
	o := c.origins[name]
	if o == nil {
		return nil
	}
	return o.seen.holes(max(o.expect, o.seen.end))
}

// Report tells what was found so far. What has not come yet is lost in it.
func (c *Checker) Report() Report {
	all := Checker{report: c.report, listed: maps.Clone(c.listed)}
	all.report.Faults = slices.Clone(c.report.Faults)
	all.report.Origins = len(c.origins)
	for _, name := range slices.Sorted(maps.Keys(c.origins)) {
		for _, r := range c.Lost(name) {
			all.fault(Fault{Kind: Lost, Source: c.origins[name].source, Offset: -1, Origin: name, Range: r})
		}
	}
	return all.report
}
