package archive

import (
	"errors"
	"fmt"

	"github.com/logdrive/logdrive/cluster/wire"
)

// ErrQuarantine says that a message must not be appended: it claims a generation for another file than the one archived. Nothing of it was applied;
// Quarantine takes it.
var ErrQuarantine = errors.New("message belongs into quarantine")

// Message is one batch as it stands in the stream.
type Message struct {
	Host        string
	Sequence    uint64
	Expected    uint64 // sequence of the message before it in the host's chain, as the message says
	HasExpected bool
	Batch       wire.Batch
	Raw         []byte // decoded payload: the bytes of the chunks; not kept
	Header      map[string][]string
	Payload     []byte // as stored
}

// Append puts a message into the archive. Readers see its bytes at once; they count after the commit of the next Cut. After an error nothing of the
// message counts, and it may be appended again.
func (p *Partition) Append(m Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := func(err error) error {
		return fmt.Errorf("append message %d of host %s: %w", m.Sequence, m.Host, err)
	}
	s, err := p.stage(m.Host, m.Sequence)
	if err != nil {
		return fault(err)
	}
	if raw := m.Batch.Raw(); raw != int64(len(m.Raw)) {
		return fault(fmt.Errorf("%w: %d bytes, its chunks claim %d", wire.ErrMalformed, len(m.Raw), raw))
	}
	s.expected = m.Expected
	s.link(m.Expected, m.HasExpected)
	if err := s.take(&m.Batch, m.Raw); err != nil {
		s.rollBack()
		return fault(err)
	}
	if s.broken && !s.gone {
		s.enter(Entry{Reason: ReasonBroken})
	}
	return s.finish(&m.Batch)
}

// stage is one message on its way in: what it has changed, so that it can be taken back.
type stage struct {
	p        *Partition
	host     *host
	sequence uint64
	expected uint64 // sequence of the message before it in the chain, as the message says
	broken   bool   // the message does not name the one before it
	gone     bool   // and an entry says which bytes are gone with those between

	generations []savedGeneration
	segments    []savedSegment
	entries     []Entry
	drops       [][]byte
	appended    int64
	doubled     int64
}

type savedGeneration struct {
	g        *generation
	identity string
	offset   int64
	sequence uint64
}

type savedSegment struct {
	t     *segment
	value segmentValue
}

func (p *Partition) stage(name string, sequence uint64) (*stage, error) {
	if p.closed {
		return nil, ErrClosed
	}
	if sequence <= p.appended {
		return nil, fmt.Errorf("message %d was appended already, %d is the last", sequence, p.appended)
	}
	if err := p.settle(); err != nil {
		return nil, err
	}
	h, err := p.host(name)
	if err != nil {
		return nil, err
	}
	if !h.known(p) {
		return nil, errors.New("its positions are not known: it was not adopted")
	}
	return &stage{p: p, host: h, sequence: sequence}, nil
}

// settle cuts what a failed message left beyond the end of its files. A file that is longer than the index says would give bytes
// to its readers that stand in the next file again.
func (p *Partition) settle() error {
	for t := range p.overhang {
		var err error
		if t.value.length == 0 && !t.value.state.grows() {
			err = p.discard(t)
			delete(p.pending.segments, t)
		} else {
			err = p.trim(t)
		}
		if err != nil {
			return err
		}
		delete(p.overhang, t)
	}
	return nil
}

// link checks that the message names the one before it (rule R9). It is only for the ledger: positions, not sequences, decide about bytes.
func (s *stage) link(expected uint64, has bool) {
	s.broken = !s.healing() && !(has && expected == s.host.value.sequence)
}

// purged says that a message between this one and the last one of the host that came is gone.
func (s *stage) purged() bool {
	return s.expected > max(s.host.value.sequence, s.p.start)
}

func (s *stage) healing() bool { return s.sequence <= s.p.healTo }

// take applies declarations, then chunks. Conflicts are looked for before the first byte is written.
func (s *stage) take(b *wire.Batch, raw []byte) error {
	for _, o := range b.Opens {
		g, err := s.generation(o.Source, o.Generation)
		if err != nil {
			return err
		}
		if g.identity != "" && g.identity != o.Identity || g.conflict() {
			return fmt.Errorf("%w: generation %d of %s is file %s, the message says %s", ErrQuarantine, g.number, o.Source, g.identity, o.Identity)
		}
		g.identity = o.Identity
	}
	for _, c := range b.Chunks {
		if g, err := s.generation(c.Source, c.Generation); err != nil {
			return err
		} else if g.conflict() {
			return fmt.Errorf("%w: generation %d of %s was claimed by another file than %s", ErrQuarantine, g.number, c.Source, g.identity)
		}
	}
	for _, m := range b.Missing {
		if err := s.miss(m); err != nil {
			return err
		}
	}
	for _, c := range b.Chunks {
		if err := s.chunk(c, raw[:c.Length]); err != nil {
			return err
		}
		raw = raw[c.Length:]
	}
	return nil
}

// generation finds a position and remembers what it was.
func (s *stage) generation(source string, number uint64) (*generation, error) {
	g, err := s.p.a.generation(s.p.a.source(s.host, source), number)
	if err == nil {
		s.generations = append(s.generations, savedGeneration{g: g, identity: g.identity, offset: g.offset, sequence: g.sequence})
	}
	return g, err
}

// miss moves the position over bytes that the agent cannot deliver.
func (s *stage) miss(m wire.Missing) error {
	g, err := s.generation(m.Source, m.Generation)
	if err != nil {
		return err
	}
	if m.To >= 0 && m.To <= g.offset {
		return nil // they came after all
	}
	if m.From > g.offset {
		s.gap(g, m.From)
	}
	s.enter(Entry{Source: m.Source, Generation: m.Generation, From: g.offset, To: m.To, Reason: m.Reason})
	g.offset = max(g.offset, m.To)
	return nil
}

// chunk appends what is new of a chunk (rules A1, A2).
func (s *stage) chunk(c wire.Chunk, data []byte) error {
	g, err := s.generation(c.Source, c.Generation)
	if err != nil {
		return err
	}
	end := c.Offset + c.Length
	if end <= g.offset {
		s.doubled += c.Length
		return nil
	}
	if c.Offset > g.offset {
		s.gap(g, c.Offset)
	}
	had := g.offset - c.Offset
	s.doubled += had
	if err := s.write(g, data[had:]); err != nil {
		return err
	}
	g.offset = end
	return nil
}

func (s *stage) write(g *generation, data []byte) error {
	t, err := s.p.segmentFor(g)
	if err != nil {
		return err
	}
	s.segments = append(s.segments, savedSegment{t: t, value: t.value})
	if err := s.p.write(t, data); err != nil {
		return err
	}
	t.value.length += int64(len(data))
	t.value.stream, t.value.sequence = s.p.id, s.sequence
	t.value.touched, t.value.last = s.p.a.clock.read()
	s.appended += int64(len(data))
	return nil
}

// gap enters bytes that nobody declared. Where the chain is broken, too, they are gone with a message that the hub has lost. After a quarantined message that could not be read it is that message's doing, if the generation was not spoken of since.
func (s *stage) gap(g *generation, to int64) {
	if s.elsewhere(g) {
		g.offset = to
		if s.purged() && (s.host.value.floating || s.healing()) { // some of it may have been this epoch's, nobody can tell how much
			s.enter(Entry{To: -1, Reason: ReasonRestored})
		}
		return
	}
	e := Entry{Source: g.source.name, Generation: g.number, From: g.offset, To: to, Reason: ReasonUnexplained}
	switch {
	case s.healing():
		e.Reason = ReasonRestored
	case s.broken:
		e.Reason, s.gone = ReasonBroken, true
	}
	for _, q := range s.host.value.unread {
		if q > g.sequence && q < s.sequence {
			e.Reason, e.Sequence = ReasonQuarantined, q
		}
	}
	if e.Reason == ReasonQuarantined {
		bare := Entry{Host: s.host.name, Reason: ReasonQuarantined, Stream: s.p.stream, Sequence: e.Sequence}
		s.drops = append(s.drops, bare.ledgerKey())
	}
	s.enter(e)
	g.offset = to
}

// elsewhere says that nothing came of the generation in this epoch, and where it stood when the epoch began cannot be known: another archive may hold what is
// before a position here (rule R7). That is so for a table that has gone on, and for generations that a table has forgotten.
func (s *stage) elsewhere(g *generation) bool {
	if g.sequence > s.p.start || s.p.start == 0 {
		return s.host.value.floating && g.sequence <= s.p.start
	}
	table := &s.host.table
	return s.host.value.floating || table.Find(g.source.name, g.number) == nil && g.number < table.Next(g.source.name)
}

func (s *stage) enter(e Entry) {
	e.Host, e.Stream, e.Epoch = s.host.name, s.p.stream, s.p.epoch
	if e.Sequence == 0 {
		e.Sequence = s.sequence
	}
	s.entries = append(s.entries, e)
}

// rollBack takes back what counts. Bytes that were written beyond the lengths are cut before anything else is appended.
func (s *stage) rollBack() {
	for i := len(s.segments) - 1; i >= 0; i-- {
		saved := s.segments[i]
		state := saved.t.value.state // the name is a fact
		saved.t.value = saved.value
		saved.t.value.state = state
		if saved.t.high > saved.t.value.length || !state.grows() && saved.t.value.length == 0 {
			s.p.overhang[saved.t] = true
		}
	}
	for i := len(s.generations) - 1; i >= 0; i-- {
		saved := s.generations[i]
		saved.g.identity, saved.g.offset, saved.g.sequence = saved.identity, saved.offset, saved.sequence
	}
	s.p.touch(s.host) // its files may be longer than committed
}

// finish makes the message part of the next commit.
func (s *stage) finish(b *wire.Batch) error {
	p, h := s.p, s.host
	if b != nil {
		s.unlist(h.table.Apply(s.sequence, b))
		s.noteFinished(b)
		if err := s.list(b); err != nil {
			return err
		}
	}
	h.table.Sequence = s.sequence
	h.value.sequence, h.value.writer, h.value.number, h.value.used = h.table.Sequence, h.table.Writer, h.table.Number, h.table.Forgotten
	for _, saved := range s.generations {
		saved.g.sequence = s.sequence
		p.pending.generations[saved.g] = struct{}{}
		p.pending.sources[saved.g.source] = struct{}{}
	}
	for _, saved := range s.segments {
		p.pending.segments[saved.t] = struct{}{}
	}
	for _, e := range s.entries {
		p.enter(e)
	}
	for _, key := range s.drops {
		p.pending.drop(key)
	}
	p.pending.bytes += s.appended
	p.a.stats.appended.Add(s.appended)
	p.a.stats.doubled.Add(s.doubled)
	p.appended = s.sequence
	p.touch(h)
	return nil
}

// list notes which generations the table holds now: those that the batch names, the ones they ended, and not those it forgot.
func (s *stage) list(b *wire.Batch) error {
	for _, saved := range s.generations {
		saved.g.listed = s.host.table.Find(saved.g.source.name, saved.g.number) != nil // one batch may open more than a table holds
		s.p.forget(saved.g.source)
	}
	for _, o := range b.Opens {
		if err := s.ended(o); err != nil {
			return err
		}
	}
	return nil
}

// ended marks the generation before an opened one as changed: the table knows its final length now.
func (s *stage) ended(o wire.Open) error {
	var before *wire.Extent
	for i, e := range s.host.table.Sources[o.Source] {
		if e.Generation < o.Generation {
			before = &s.host.table.Sources[o.Source][i]
		}
	}
	if before == nil {
		return nil
	}
	g, err := s.p.a.generation(s.p.a.source(s.host, o.Source), before.Generation)
	if err == nil {
		g.listed = true
		s.p.pending.generations[g] = struct{}{}
	}
	return err
}
