package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Extent is one generation in a table.
type Extent struct {
	Generation uint64
	Identity   string // "" until its Open is known
	Offset     int64  // end of what the chain holds, missing ranges included
	Length     int64  // final length; -1 while it has not ended
	Check      Check  // of the bytes before Offset; Len 0 after a missing range
}

// Ended says that a successor was opened, or that the rest was declared missing.
func (e Extent) Ended() bool { return e.Length >= 0 }

func (e *Extent) grow(c Chunk) {
	if end := c.Offset + c.Length; end > e.Offset {
		e.Offset, e.Check = end, c.Check
	}
	if e.Ended() {
		e.Length = max(e.Length, e.Offset)
	}
}

func (e *Extent) join(o Extent) {
	if e.Identity == "" {
		e.Identity = o.Identity
	}
	if o.Offset > e.Offset {
		e.Offset, e.Check = o.Offset, o.Check
	}
	if o.Ended() || e.Ended() {
		e.Length = max(e.Length, o.Length, e.Offset)
	}
}

func (e *Extent) miss(m Missing) {
	if m.To < 0 {
		e.Length = e.Offset
		return
	}
	if m.To > e.Offset {
		e.Offset, e.Check = m.To, Check{}
	}
	if e.Ended() {
		e.Length = max(e.Length, e.Offset)
	}
}

// MarshalText writes an extent as headers write a chunk: generation, offset, length, check, identity. A host may have fifty thousand, and the names of
// fields would take half of them.
func (e Extent) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d %d %d %d:%016x %s", e.Generation, e.Offset, e.Length, e.Check.Len, e.Check.Sum, e.Identity), nil
}

// UnmarshalText is the inverse of MarshalText. Its error wraps ErrMalformed.
func (e *Extent) UnmarshalText(text []byte) error {
	p := parser{}
	f := p.fields("extent", string(text), 5)
	*e = Extent{Generation: p.generation(f[0]), Offset: p.int(f[1], 0), Length: p.int(f[2], -1), Check: p.check(f[3]), Identity: strings.Clone(f[4])}
	return p.err
}

// weight is how many bytes the text takes in a table, quotes and comma included.
func (e *Extent) weight() int {
	const rest = len(`" `) + len(` :0123456789abcdef `) + len(` ",`)
	return rest + digits(int64(e.Generation)) + digits(e.Offset) + digits(e.Length) + digits(int64(e.Check.Len)) + len(e.Identity)
}

func digits(n int64) int {
	var b [20]byte
	return len(strconv.AppendInt(b[:0], n, 10))
}

// nameWeight is how many bytes a source takes beside its extents.
func nameWeight(source string) int {
	n := len(`"":[],`)
	for i := range len(source) {
		switch c := source[i]; {
		case mustEscape(c):
			n += 3
		case strings.IndexByte(`<>&`, c) >= 0:
			n += len(`\u003c`)
		case c == '"' || c == '\\':
			n += 2
		default:
			n++
		}
	}
	return n
}
