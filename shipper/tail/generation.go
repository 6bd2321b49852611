package tail

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/zeebo/xxh3"
)

// errOverwritten says that the bytes before the read position are not the
// ones that were read: the file was cut or written anew in place.
var errOverwritten = errors.New("overwritten in place")

// body is the content of a generation: an open file or an unpacked one.
type body interface {
	io.ReaderAt
	io.Closer
}

// generation is one incarnation of a source, read through the descriptor that
// was opened when it was found: names change, the descriptor does not.
type generation struct {
	src    *source
	number uint64   // 0 until its first byte is read
	unsaid bool     // it has a number, but the chain holds no Open of it
	id     Identity // as it was opened
	inode  inode    // of the body; a copy's after copytruncate
	path   string   // where the body stood when last seen
	body   body     // nil: idle, sought or gone
	packed bool     // the body is unpacked while it is read, and never changes

	read, acked int64
	archived    int64
	size        int64 // of the body when last seen
	seen        int64 // the biggest size ever seen
	mtime       int64
	length      int64 // final length, -1 while it may be read on
	guard       Check // of up to 1 KiB before proven
	proven      int64 // read, or where it was before bytes were given up
	ackedCheck  Check // of what lies before acked
	glimpse     Check // of its beginning, when it was found
	scanned     int64 // no newline in [read, scanned)

	grew   time.Time // when the size last changed
	filled time.Time // when it was first seen to hold something; zero: that it is not cut any more
	seenAt time.Time // when it was last looked at
	behind time.Time // since when there are bytes that are not acknowledged
	sought time.Time // since when its body is sought; zero: it is not
	reason string    // what to say if it is not found
	cut    bool      // its file held something else before
	lost   bool      // its place among those that are found again after a recovery is open
	told   bool      // a recovery told of it, and its file was not seen here
	// attended: it was looked at until just before it went, so that not more is lost than was seen.
	attended bool
	changed  bool // since Known was last called
}

// look takes over what a stat of the body told. That it is the same content
// still is known after the next read only.
func (g *generation) look(st stat, now time.Time) {
	if st.size != g.size || st.mtime != g.mtime {
		g.grew = now
	}
	if g.size == 0 && st.size > 0 && g.filled.IsZero() {
		g.filled = time.Now()
	}
	g.size, g.mtime, g.seenAt = st.size, st.mtime, now
	if g.body != nil {
		g.peek()
	}
	if g.size > g.acked && g.behind.IsZero() {
		g.behind = now
	}
}

// found is the first look: the file has grown when it says, not when we came. Its age is kept by our own clock, which does not step.
func (g *generation) found(st stat, now time.Time) {
	g.look(st, now)
	g.grew = now.Add(-max(0, now.Sub(time.Unix(0, st.mtime))))
}

// sees remembers how long the generation is at least.
func (g *generation) sees(size int64) {
	if size > g.seen {
		g.seen = size
		g.touch()
	}
}

// peek remembers how the file begins: more than its identity says if that was
// taken when the file was short.
func (g *generation) peek() {
	if g.packed || g.glimpse.Len == headBytes || int64(g.glimpse.Len) >= g.size || !g.intact() {
		return
	}
	g.glimpse = headOf(g.body, g.size)
}

// needsOpen reports whether an Open must come before anything else is said.
func (g *generation) needsOpen() bool { return g.number == 0 || g.unsaid }

func (g *generation) touch() {
	if g.number != 0 && !g.changed {
		g.changed = true
		g.src.tailer.changed = append(g.src.tailer.changed, g)
	}
}

// overwritten reports whether the content is not what it was: it shrank, or
// changed without growing, and the bytes before the position differ. What has grown
// as well shows when it is read, or here if thorough.
func (g *generation) overwritten(st stat, thorough bool) bool {
	shrank := st.size < g.size
	switch {
	case st.size < g.read || (shrank && g.read == 0):
		return true
	case thorough || shrank || (st.size == g.size && st.mtime != g.mtime) || (g.read == 0 && st.size != g.size):
		return !g.intact()
	}
	return false
}

// intact reports whether the file begins as it did, and the bytes before the
// read position are still the ones that were read.
func (g *generation) intact() bool {
	switch {
	case g.body == nil || g.packed:
		return true
	case !g.glimpse.holds(g.body, int64(g.glimpse.Len)):
		return false
	}
	return g.guard.holds(g.body, g.proven)
}

// unproven reports whether nothing tells a file in which it goes on from one that was written anew over what is missing.
func (g *generation) unproven() bool { return g.guard.Len == 0 && g.read > 0 }

// is reports whether a file has the generation's content up to the read position.
func (g *generation) is(b body) bool {
	return g.id.sameHead(b) && g.glimpse.holds(b, int64(g.glimpse.Len)) && g.guard.holds(b, g.proven)
}

// take bounds one read: at most max bytes, the last line's remains too if
// final, a run without newline if it fills whole.
type take struct {
	max   int
	whole bool
	final bool
}

// readInto appends what can be had now to the batch's data and returns how
// much that was. The bytes before the position are compared after the
// read: a file that was cut and has grown again in between gives errOverwritten and no
// byte, instead of the middle of something else.
func (g *generation) readInto(b *Batch, how take, scratch []byte) (int, error) {
	want := int(min(g.size-g.read, int64(how.max)))
	if want <= 0 || (!how.final && !how.whole && g.size == g.scanned) {
		return 0, nil
	}
	start := len(b.Data)
	b.Data = slices.Grow(b.Data, want)
	data := b.Data[start : start+want]
	n, err := g.body.ReadAt(data, g.read)
	if err != nil && err != io.EOF {
		return 0, err
	}
	data = data[:n]
	before, ok := g.before(data, scratch)
	if !ok {
		return 0, errOverwritten
	}
	g.sees(g.size)
	cut := bytes.LastIndexByte(data, '\n') + 1
	if cut == 0 && ((how.whole && n == how.max) || (how.final && g.read+int64(n) == g.size)) {
		cut = n
	}
	if cut == 0 {
		g.scanned = g.read + int64(n)
		return 0, nil
	}
	b.Data = b.Data[:start+cut]
	g.advance(data[:cut], before)
	return cut, nil
}

// before reads again what lies before the position, at a generation's
// beginning the first bytes themselves, and reports whether it is unchanged.
func (g *generation) before(data, scratch []byte) ([]byte, bool) {
	if g.packed {
		return nil, true
	}
	if g.read == 0 {
		p := scratch[:min(len(data), checkBytes)]
		n, _ := g.body.ReadAt(p, 0)
		return nil, n == len(p) && bytes.Equal(p, data[:n]) && g.intact()
	}
	if g.read < headBytes && !g.intact() {
		return nil, false // short lines may be alike: the whole beginning tells more
	}
	if g.guard.Len == 0 {
		return nil, true
	}
	if g.proven < g.read {
		return nil, g.intact()
	}
	p := scratch[:g.guard.Len]
	n, _ := g.body.ReadAt(p, g.read-int64(len(p)))
	return p, n == len(p) && xxh3.Hash(p) == g.guard.Sum
}

// advance moves the read position over data, which lies after the bytes of before.
func (g *generation) advance(data, before []byte) {
	g.read += int64(len(data))
	g.scanned, g.proven = g.read, g.read
	if len(data) < checkBytes {
		tail := append(before, data...)
		g.guard = checkOf(tail)
		return
	}
	g.guard = checkOf(data)
}

// known is the generation as the checkpoint keeps it.
func (g *generation) known() Generation {
	k := Generation{
		Source: g.src.path, Number: g.number, Identity: g.id,
		Offset: g.acked, Length: g.length, Seen: g.seen, Path: g.path,
	}
	k.Check = g.ackedCheck
	if g.acked == g.proven {
		k.Check = g.guard
	}
	return k
}

// attach gives the generation its content.
func (g *generation) attach(b body) {
	g.body, g.told = b, false
	g.src.tailer.open++
	delete(g.src.tailer.loose, b)
	g.src.tailer.owners[g.inode] = g.src
	g.src.hold(g)
}

// close lets the content go.
func (g *generation) close() {
	if g.body != nil {
		g.body.Close()
		g.body = nil
		g.src.tailer.open--
	}
}
