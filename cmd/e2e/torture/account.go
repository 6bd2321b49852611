package torture

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Run is a run of a generation's bytes: they came, or were declared missing.
type Run struct {
	From, To int64  // To -1: missing to an end that nobody saw
	Data     []byte // what came; nil: missing
	Reason   string // why it is missing
}

// Generation is what became of one file.
type Generation struct {
	Number uint64
	Runs   []Run
}

// Account says what became of every byte that was written.
type Account struct {
	Declared int64    // bytes that are declared missing, those of a run without end included
	Unseen   int64    // bytes that came and went between two looks: nobody can know of them
	Faults   []string // what must not be
}

func (a *Account) fault(format string, args ...any) {
	a.Faults = append(a.Faults, fmt.Sprintf(format, args...))
}

func (a Account) String() string {
	return fmt.Sprintf("%d bytes declared missing, %d unseen, faults %q", a.Declared, a.Unseen, a.Faults)
}

// Account compares generations, in order, with the files that were written. What came and what is declared missing must be each of them exactly, without a hole and
// without overlap; missing may be only what was cut or removed. A file that came and went while no reader ran leaves no trace, and neither does, where the
// scenario races with the reader, what came and went between two looks.
func (s Scenario) Account(w Written, came []Generation) Account {
	var text []byte
	for n := range w.Lines {
		text = append(text, s.Line(n+1)...)
	}
	var a Account
	next := 0
	for _, g := range came {
		if len(g.Runs) == 0 {
			continue
		}
		g.Runs = slices.SortedFunc(slices.Values(g.Runs), func(x, y Run) int { return cmp.Compare(x.From, y.From) })
		i := slices.IndexFunc(w.Incarnations[next:], func(in Incarnation) bool { return s.fits(g, in, text) })
		if i < 0 {
			a.fault("generation %d is no file that was written after number %d: %s", g.Number, next, g)
			continue
		}
		for k, in := range w.Incarnations[next : next+i] {
			s.untold(&a, next+k+1, in)
		}
		next += i + 1
		s.covered(&a, fmt.Sprintf("file %d of %+v, generation %d", next, w.Incarnations[next-1], g.Number), g, w.Incarnations[next-1])
	}
	for k, in := range w.Incarnations[next:] {
		s.untold(&a, next+k+1, in)
	}
	return a
}

// String lists the runs of a generation.
func (g Generation) String() (out string) {
	for _, r := range g.Runs {
		if r.Data == nil {
			out += fmt.Sprintf("[%d, %d) %s ", r.From, r.To, r.Reason)
		} else {
			out += fmt.Sprintf("[%d, %d) came, %.12q ", r.From, r.To, r.Data)
		}
	}
	return out
}

// fits reports whether a generation may be the file: every byte that came is the file's at its offset. Where none came, the end of what is missing tells.
func (s Scenario) fits(g Generation, in Incarnation, text []byte) bool {
	if in.Length == 0 {
		return false
	}
	data := false
	for _, r := range g.Runs {
		if r.To > in.Length || r.From > in.Length {
			return false
		}
		if r.Data != nil && !bytes.Equal(text[in.From+r.From:in.From+r.To], r.Data) {
			return false
		}
		data = data || r.Data != nil
	}
	last := g.Runs[len(g.Runs)-1].To
	return data || in.Gone != Kept && (last == in.Length || last < 0 || s.Races)
}

// covered checks that the runs are the whole file.
func (s Scenario) covered(a *Account, what string, g Generation, in Incarnation) {
	var end int64
	for _, r := range g.Runs {
		if r.From != end {
			a.fault("%s: what stands before goes to %d: %s", what, end, g)
		}
		end = r.To
		if r.To < 0 {
			end = in.Length
		}
		if r.Data != nil {
			continue
		}
		a.Declared += end - r.From
		if !in.explains(r) {
			a.fault("%s: is declared missing: %s", what, g)
		}
	}
	switch lacking := in.Length - end; {
	case lacking == 0:
	case s.Races && in.Gone == Cut:
		a.Unseen += lacking
	default:
		a.fault("%s: nothing is said of what comes after %d: %s", what, end, g)
	}
}

// explains reports whether what became of the file is a reason that something of it is missing.
func (in Incarnation) explains(r Run) bool {
	switch in.Gone {
	case Cut:
		return r.Reason == "truncated" || r.Reason == "vanished"
	case Removed:
		return r.Reason == "deleted" || r.Reason == "vanished"
	}
	return false
}

// untold checks that nobody could know of a file that left no trace.
func (s Scenario) untold(a *Account, number int, in Incarnation) {
	switch {
	case in.Length == 0:
	case in.Gone != Kept && (in.Unwatched || s.Races):
		a.Unseen += in.Length
	default:
		a.fault("file %d of %+v: nothing is said of it", number, in)
	}
}
