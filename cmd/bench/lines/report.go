package lines

import (
	"errors"
	"fmt"
	"strings"
)

// Range is the numbers From to To-1.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Kind is what may be wrong with a line.
type Kind string

const (
	Lost      Kind = "lost"      // a number below the highest seen, or below the expected count, never came
	Doubled   Kind = "doubled"   // a whole line came again
	Torn      Kind = "torn"      // bytes that are no whole line: split, cut, joined or changed
	Reordered Kind = "reordered" // a line came for the first time after a later one of its origin
	Misplaced Kind = "misplaced" // a line stands in another source than the lines of its origin before it
)

// Fault is one place where something is wrong.
type Fault struct {
	Kind   Kind   `json:"kind"`
	Source string `json:"source"`
	Offset int64  `json:"offset"` // of the line in its source, all generations joined; -1 for lost lines
	Origin string `json:"origin,omitempty"`
	Range         // of the numbers; empty when torn
}

func (f Fault) String() string {
	switch f.Kind {
	case Torn:
		return fmt.Sprintf("torn       %s at byte %d", f.Source, f.Offset)
	case Lost:
		return fmt.Sprintf("lost       %s %s lines %d to %d", f.Source, f.Origin, f.From, f.To-1)
	}
	return fmt.Sprintf("%-10s %s %s line %d at byte %d", f.Kind, f.Source, f.Origin, f.From, f.Offset)
}

// maxFaults is how many faults of a kind a report lists; all are counted.
const maxFaults = 20

// Report counts what became of the lines.
type Report struct {
	Sources   int     `json:"sources"`
	Origins   int     `json:"origins"`
	Bytes     int64   `json:"bytes"`
	Lines     uint64  `json:"lines"` // whole ones, doubled ones counted each time
	Lost      uint64  `json:"lost"`
	Doubled   uint64  `json:"doubled"`
	Torn      uint64  `json:"torn"`
	Reordered uint64  `json:"reordered"`
	Misplaced uint64  `json:"misplaced"`
	Faults    []Fault `json:"faults,omitempty"` // the first of each kind
}

// Clean says that every line arrived once, whole, in order and in its place.
func (r Report) Clean() bool { return r.Lost+r.Doubled+r.Torn+r.Reordered+r.Misplaced == 0 }

// Err is nil if the report is clean; else it tells the counts and the first faults.
func (r Report) Err() error {
	if r.Clean() {
		return nil
	}
	return errors.New(r.String())
}

func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines, %d bytes of %d origins in %d sources: %d lost, %d doubled, %d torn, %d reordered, %d misplaced",
		r.Lines, r.Bytes, r.Origins, r.Sources, r.Lost, r.Doubled, r.Torn, r.Reordered, r.Misplaced)
	for _, f := range r.Faults {
		b.WriteString("\n  ")
		b.WriteString(f.String())
	}
	return b.String()
}
