package archive

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Quarantined is a message that cannot be appended: it is kept whole, so that people can find out what it was.
type Quarantined struct {
	Subject  string
	Host     string // "" when the subject names none
	Sequence uint64
	Header   map[string][]string
	Payload  []byte      // as stored
	Reason   string      // a sentence for people
	Batch    *wire.Batch // nil when the headers do not parse
}

// Quarantine keeps a message in quarantine/<stream>-<sequence> and goes on behind it. Each range of bytes that it claimed becomes a ledger entry, and the positions
// move over it; when its headers do not parse the range is learned from the next message that leaves a gap (rule A6).
func (p *Partition) Quarantine(q Quarantined) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := func(err error) error { return fmt.Errorf("quarantine message %d: %w", q.Sequence, err) }
	if q.Host == "" {
		return p.quarantineNameless(q, fault)
	}
	s, err := p.stage(q.Host, q.Sequence)
	if err != nil {
		return fault(err)
	}
	if err := p.keep(q); err != nil {
		return fault(err)
	}
	if q.Batch == nil {
		s.enter(Entry{Reason: ReasonQuarantined})
		s.host.unread(q.Sequence)
	} else if err := s.passOver(q.Batch); err != nil {
		s.rollBack()
		return fault(err)
	}
	p.a.stats.quarantined.Add(1)
	return s.finish(q.Batch)
}

// maxUnread bounds what a host is remembered by that sends nothing but rubbish: it is written again with every commit.
const maxUnread = 256

// unread remembers a message whose headers said nothing, and forgets the oldest of too many: a gap after that one is unexplained.
func (h *host) unread(sequence uint64) {
	h.value.unread = append(h.value.unread, sequence)
	if n := len(h.value.unread); n > maxUnread {
		h.value.unread = slices.Clone(h.value.unread[n-maxUnread:])
	}
}

func (p *Partition) quarantineNameless(q Quarantined, fault func(error) error) error {
	if p.closed {
		return fault(ErrClosed)
	}
	if q.Sequence <= p.appended {
		return fault(fmt.Errorf("%d is appended already", p.appended))
	}
	if err := p.keep(q); err != nil {
		return fault(err)
	}
	p.enter(Entry{Reason: ReasonQuarantined, Stream: p.stream, Epoch: p.epoch, Sequence: q.Sequence})
	p.a.stats.quarantined.Add(1)
	p.appended = q.Sequence
	return nil
}

// passOver moves the positions behind what the batch claims.
func (s *stage) passOver(b *wire.Batch) error {
	for _, o := range b.Opens {
		g, err := s.generation(o.Source, o.Generation)
		if err != nil {
			return err
		}
		if g.identity == "" {
			g.identity = o.Identity
		}
	}
	for _, m := range b.Missing {
		if err := s.miss(m); err != nil {
			return err
		}
	}
	for _, c := range b.Chunks {
		if err := s.passChunk(c, b.Opens); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(s.entries, func(e Entry) bool { return e.Reason == ReasonQuarantined }) {
		s.enter(Entry{Reason: ReasonQuarantined})
	}
	return nil
}

// passChunk enters the part of a chunk that is not archived. Of another file's chunk that is all of it: its bytes are not those at the position.
func (s *stage) passChunk(c wire.Chunk, opens []wire.Open) error {
	g, err := s.generation(c.Source, c.Generation)
	if err != nil {
		return err
	}
	foreign := g.conflict() || slices.ContainsFunc(opens, func(o wire.Open) bool {
		return o.Source == c.Source && o.Generation == c.Generation && o.Identity != g.identity
	})
	from, end := c.Offset, c.Offset+c.Length
	if !foreign {
		if from > g.offset {
			s.gap(g, from)
		}
		from = g.offset
	}
	if from < end {
		s.claim(Entry{Source: c.Source, Generation: c.Generation, From: from, To: end, Reason: ReasonQuarantined})
	}
	g.offset = max(g.offset, end)
	return nil
}

// claim enters a quarantined range, joined with the one before when it goes on there.
func (s *stage) claim(e Entry) {
	if n := len(s.entries); n > 0 {
		last := &s.entries[n-1]
		if last.Reason == e.Reason && last.Source == e.Source && last.Generation == e.Generation && last.To == e.From {
			last.To = e.To
			return
		}
	}
	s.enter(e)
}

// keep writes the message to its file and waits until it is on disk: messages in quarantine are rare.
func (p *Partition) keep(q Quarantined) error {
	name := quarantineName(p.stream, q.Sequence)
	f, err := p.a.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(q.text())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	p.pending.rename(name)
	return nil
}

func quarantineName(stream string, sequence uint64) string {
	return fmt.Sprintf("%s/%s-%d", dirQuarantine, encodeComponent(stream, false), sequence)
}

// text is the message as people read it: like a mail, headers first.
func (q *Quarantined) text() []byte {
	var b bytes.Buffer
	line := strings.NewReplacer("\r", `\r`, "\n", `\n`)
	fmt.Fprintf(&b, "Subject: %s\r\nSequence: %d\r\nReason: %s\r\n", line.Replace(q.Subject), q.Sequence, line.Replace(q.Reason))
	for _, name := range slices.Sorted(maps.Keys(q.Header)) {
		for _, v := range q.Header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", line.Replace(name), line.Replace(v))
		}
	}
	b.WriteString("\r\n")
	b.Write(q.Payload)
	return b.Bytes()
}
