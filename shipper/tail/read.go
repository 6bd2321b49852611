package tail

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"time"
)

const (
	// quantum is what one source may add to a batch before the next has its turn.
	quantum = 256 << 10
	// retry is the time between attempts at what could not be read.
	retry = time.Second
)

// fill adds what the source has to the batch, one quantum at most, and
// returns how much it said; 0 means that there is nothing now.
func (s *source) fill(b *Batch, lim Limits, now time.Time) int {
	for {
		g := s.current()
		if g == nil {
			return 0
		}
		if !g.sought.IsZero() {
			if said, done := s.giveUp(g, b, lim, now); !done {
				return said
			}
			continue
		}
		if g.body == nil {
			return 0
		}
		if g.number == 0 && g.filled.After(s.scanned) {
			if s.scanAgain(now); s.scan {
				return 0
			}
			continue
		}
		if g != s.newest() {
			s.lookHeld(g, now)
			if g != s.current() || !g.sought.IsZero() {
				continue
			}
		}
		if n := s.read(g, b, lim, false, now); n != 0 {
			return max(n, 0)
		}
		if g != s.current() {
			continue // it was no text, or is sought now
		}
		if !s.ended(g, now) {
			return 0
		}
		if g.size > g.read {
			if n := s.read(g, b, lim, true, now); n != 0 {
				return max(n, 0)
			}
			if g.size > g.read {
				return 0
			}
		}
		s.finish(g, len(s.queue) > 1 || !s.tailer.cfg.Once)
	}
}

// scanAgain reads the directory before the first byte of a file that was empty when that was read last: it may have been filled before, copied
// and cut, and the copy comes first.
func (s *source) scanAgain(now time.Time) {
	if !s.scan {
		s.wantScan()
	}
	s.scanSiblings(now)
}

// ended reports whether nothing more is awaited of the generation that is read to
// its end, but for the late writers that are served beside the successor.
func (s *source) ended(g *generation, now time.Time) bool {
	if !s.succeeded(g, now) {
		return s.tailer.cfg.Once || s.deserted(g, now)
	}
	// What was written before the successor's first byte is all there now.
	s.lookHeld(g, now)
	if !g.sought.IsZero() || g.size > max(g.scanned, g.read) {
		return false
	}
	return g.size == g.read || g.packed || s.tailer.cfg.Once || now.Sub(g.grew) >= s.tailer.cfg.Patience
}

// succeeded reports whether a later generation has data.
func (s *source) succeeded(g *generation, now time.Time) bool {
	for _, next := range s.queue[1:] {
		if next.size == 0 && next != s.newest() {
			s.lookHeld(next, now)
		}
		if next.size > 0 || !next.sought.IsZero() {
			return true
		}
	}
	return false
}

// deserted reports whether the file was deleted long ago.
func (s *source) deserted(g *generation, now time.Time) bool {
	f, ok := g.body.(*os.File)
	if !ok || now.Sub(g.grew) < s.tailer.cfg.Patience {
		return false
	}
	st, err := statFile(f)
	links := uint64(0)
	if s.tailer.holder != nil && s.tailer.holder.has(s.path, g.inode) {
		links = 1
	}
	return err == nil && st.links <= links && st.size == g.size && (g.size > g.read || now.Sub(g.grew) >= s.tailer.cfg.Linger)
}

// finish takes the generation in front out of the queue, ended or, with Once,
// only read. It is held on for late writers.
func (s *source) finish(g *generation, ended bool) {
	s.queue = s.queue[1:]
	if g.number != 0 && ended {
		g.length = g.read
		g.touch()
	}
	if g.body != nil {
		g.attended = true // all of it was read
		s.late = append(s.late, g)
	} else if g.number != 0 {
		s.past = append(s.past, g)
	}
}

// read adds one run of a generation to the batch, its Open before it if it is the
// first. It returns -1 where only the next batch can take it.
func (s *source) read(g *generation, b *Batch, lim Limits, final bool, now time.Time) int {
	if g.size <= g.read {
		return 0
	}
	if g.number == 0 && !s.judged && !isText(g.body) {
		s.refuse(g)
		return 0
	}
	if s.highest == 0 && lim.NoNew {
		s.putOff()
		return 0
	}
	if g.needsOpen() && b.mentions(s.path) {
		return -1 // an Open says how long the one before is: it must be the first in its batch
	}
	room := lim.Bytes - len(b.Data)
	if room <= 0 || b.headers+openHeader(s.path)+chunkHeader(s.path) > lim.HeaderBytes {
		return -1
	}
	n, err := s.readRun(g, b, room, room == lim.Bytes, final)
	switch {
	case errors.Is(err, errOverwritten):
		s.overwritten(g, now)
		return 0
	case err != nil:
		s.setFault(err)
		return 0
	case n == 0:
		return 0
	}
	if g.needsOpen() {
		s.open(g, b, b.Data[len(b.Data)-n:])
	}
	b.chunk(Chunk{
		Source: s.path, Generation: g.number, Offset: g.read - int64(n), Length: int64(n),
		Lines: countLines(b.Data[len(b.Data)-n:]),
	})
	return n
}

// readRun reads a quantum, or all there is room for if no line ends in a quantum.
func (s *source) readRun(g *generation, b *Batch, room int, empty, final bool) (int, error) {
	scratch := s.tailer.scratch[:]
	small := min(room, quantum)
	n, err := g.readInto(b, take{max: small, whole: empty && small == room, final: final}, scratch)
	if n != 0 || err != nil || small == room || g.size-g.read <= int64(small) {
		return n, err
	}
	return g.readInto(b, take{max: room, whole: empty, final: final}, scratch)
}

// refuse leaves out a file of a directory that is not text.
func (s *source) refuse(g *generation) {
	s.settled[g.inode] = -1
	s.queue = slices.DeleteFunc(s.queue, func(o *generation) bool { return o == g })
	s.late = slices.DeleteFunc(s.late, func(o *generation) bool { return o == g })
	g.close()
	s.unhold(g.inode)
	s.tailer.log.Debug("file is not text", "source", s.path)
}

// open numbers a generation and says what file it is.
func (s *source) open(g *generation, b *Batch, head []byte) {
	if g.number == 0 {
		s.highest = max(s.highest, s.tailer.used) + 1
		g.number = s.highest
		head = head[:min(len(head), headBytes)]
		g.id = Identity{Device: g.inode.dev, Inode: g.inode.ino, Birth: g.inode.birth, HeadLen: len(head), Head: checkOf(head).Sum}
		if g.packed {
			g.id.Birth = 0 // it is the packed file's, younger than the content
		}
	}
	g.unsaid = false
	b.open(Open{Source: s.path, Generation: g.number, Identity: g.id, Previous: s.previous(g.number)})
	g.touch()
}

func (s *source) previous(number uint64) int64 {
	length, last := int64(-1), uint64(0)
	for _, gens := range [...][]*generation{s.queue, s.late, s.past} {
		for _, g := range gens {
			if g.number < number && g.number > last {
				length, last = g.length, g.number
			}
		}
	}
	return length
}

// giveUp declares what is missing of a generation that is not found, once it is
// sought for long enough. It reports what it said and whether the generation is done with.
func (s *source) giveUp(g *generation, b *Batch, lim Limits, now time.Time) (int, bool) {
	if s.scan || s.blind || (!s.tailer.cfg.Once && now.Sub(g.sought) < s.tailer.cfg.Patience) {
		return 0, false
	}
	if lost := s.lost(g); len(lost) > 0 {
		if b.mentions(s.path) || b.headers+openHeader(s.path)+len(lost)*missingHeader(s.path) > lim.HeaderBytes {
			return 0, false
		}
		if g.needsOpen() {
			s.open(g, b, nil)
		}
		for _, m := range lost {
			m.Generation = g.number
			b.missing(m)
			s.tailer.log.Warn("bytes are missing", "source", s.path, "generation", g.number, "from", m.From, "to", m.To, "reason", g.reason)
		}
		if g.seen > g.read {
			g.read = g.seen
		}
	}
	g.sought, g.size, g.seen = time.Time{}, g.read, max(g.seen, g.read)
	s.finish(g, true)
	return 1, true
}

// lost returns what is lost of a generation that is gone: what was seen for sure, and, if nobody looked at it until
// it went, whatever it may have held behind that.
func (s *source) lost(g *generation) (ranges []Missing) {
	if g.seen > g.read {
		ranges = append(ranges, Missing{Source: s.path, From: g.read, To: g.seen, Reason: g.reason})
	}
	if g.number != 0 && g.length < 0 && !g.attended {
		ranges = append(ranges, Missing{Source: s.path, From: max(g.read, g.seen), To: -1, Reason: g.reason})
	}
	return ranges
}

func countLines(p []byte) int64 { return int64(bytes.Count(p, []byte{'\n'})) }
