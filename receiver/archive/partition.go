package archive

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
	"go.etcd.io/bbolt"
)

// ErrClosed says that the partition was closed.
var ErrClosed = errors.New("partition is closed")

// Partition is one worker's view of the archive: one stream under one epoch. One goroutine appends and cuts; commits may run in another.
type Partition struct {
	a       *Archive
	stream  string
	id      uint64 // of the stream
	created time.Time
	epoch   uint64
	start   uint64
	dir     *os.File // for syncAll: its errors are reported once for each open file

	committed atomic.Uint64
	confirmed atomic.Uint64

	doing sync.Mutex // held by the commit that runs
	done  uint64     // border of the last commit that succeeded; guarded by doing
	fault error      // of the first commit that failed, or ErrClosed; guarded by doing
	turn  *sync.Cond // on doing: another commit may run now

	mu       sync.Mutex // guards what follows; the janitor rotates idle files beside the worker
	closed   bool
	hosts    map[string]*host
	appended uint64 // sequence of the last message appended
	healTo   uint64 // up to here a gap is the archive's own fault
	border   uint64 // counts cuts; changes belong to the next one
	pending  *pending
	overhang map[*segment]bool    // files longer than they should be, after a message that failed
	cuts     map[*Commit]struct{} // with files, and not done
}

// pending is what the next commit writes.
type pending struct {
	hosts       map[*host]struct{}
	sources     map[*source]struct{}
	generations map[*generation]struct{}
	segments    map[*segment]struct{}
	dirs        map[string]struct{} // with new names
	entries     []Entry             // new in the ledger
	drops       [][]byte            // ledger keys that a later entry says better
	bytes       int64
}

func newPending() *pending {
	return &pending{
		hosts: map[*host]struct{}{}, sources: map[*source]struct{}{}, generations: map[*generation]struct{}{},
		segments: map[*segment]struct{}{}, dirs: map[string]struct{}{},
	}
}

// rename notes a new name in a directory.
func (n *pending) rename(name string) { n.dirs[path.Dir(name)] = struct{}{} }

// drop takes an entry out of the ledger with the next commit, also one that this would bring.
func (n *pending) drop(key []byte) {
	n.entries = slices.DeleteFunc(n.entries, func(e Entry) bool { return bytes.Equal(e.ledgerKey(), key) })
	n.drops = append(n.drops, key)
}

// Partition opens the view of a stream under an epoch that began at sequence start. A stream has one at a time. What an earlier one did
// not commit is cut away first; if that cannot be done, nothing may be appended, so it is an error.
func (a *Archive) Partition(stream string, created time.Time, epoch, start uint64) (*Partition, error) {
	fault := func(err error) error { return fmt.Errorf("open partition %s of the archive: %w", stream, err) }
	if err := a.reserve(stream); err != nil {
		return nil, fault(err)
	}
	p, err := a.newPartition(stream, created, epoch, start)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		delete(a.partitions, stream)
		return nil, fault(err)
	}
	a.partitions[stream] = p
	return p, nil
}

// reserve makes sure that a stream is worked on once at a time.
func (a *Archive) reserve(stream string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.partitions[stream]; taken {
		return errors.New("it is open already")
	}
	a.partitions[stream] = nil
	return nil
}

func (a *Archive) newPartition(stream string, created time.Time, epoch, start uint64) (*Partition, error) {
	if err := a.cutUnclean(); err != nil {
		return nil, err
	}
	v, err := a.streamValue(stream, created)
	if err != nil {
		return nil, err
	}
	if v.id == 0 {
		v.id = a.lastStream.Add(1)
	}
	p := &Partition{
		a: a, stream: stream, id: v.id, created: created, epoch: epoch, start: start, border: 1,
		hosts: map[string]*host{}, appended: start, pending: newPending(), overhang: map[*segment]bool{}, cuts: map[*Commit]struct{}{},
	}
	for _, h := range v.held {
		if h.Epoch == epoch && h.After != start {
			return nil, fmt.Errorf("epoch %d began at %d in the archive, not at %d", epoch, h.After, start)
		}
		if h.Epoch == epoch {
			p.appended = h.To
		}
	}
	p.turn = sync.NewCond(&p.doing)
	p.committed.Store(p.appended)
	p.confirmed.Store(v.confirmed)
	if p.dir, err = a.root.Open("."); err != nil {
		return nil, err
	}
	return p, nil
}

// streamValue is what the index says of a stream; nothing when it is new. A stream that was made anew under the same name is another
// one: its sequences say nothing about this archive (rule H3).
func (a *Archive) streamValue(stream string, created time.Time) (v streamValue, err error) {
	err = a.db.View(func(tx *bbolt.Tx) error {
		data, err := getValue(tx, bucketStreams, []byte(stream))
		if err != nil || data == nil {
			return err
		}
		v, err = decodeStream(data)
		return err
	})
	if err == nil && v.id != 0 && !v.created.Equal(created) {
		err = fmt.Errorf("the archive holds a stream %s created at %s, the hub's was created at %s: the hub's store was replaced",
			stream, v.created.UTC().Format(time.RFC3339Nano), created.UTC().Format(time.RFC3339Nano))
	}
	return v, err
}

// Held is what the archive has committed of a stream, by epoch.
func (a *Archive) Held(stream string, created time.Time) ([]handover.Held, error) {
	v, err := a.streamValue(stream, created)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	return v.held, nil
}

// Confirmed is the highest floor of a stream that the archive's commits were told of. A record below it is an old copy.
func (a *Archive) Confirmed(stream string, created time.Time) (uint64, error) {
	v, err := a.streamValue(stream, created)
	if err != nil {
		return 0, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	return v.confirmed, nil
}

// Committed is the last sequence committed under this epoch, or the epoch's start.
func (p *Partition) Committed() uint64 { return p.committed.Load() }

// Knows says that the positions of host are known. If not, Adopt comes before the host's first Append: without positions nothing can be told to be
// doubled or missing (rule R7).
func (p *Partition) Knows(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, err := p.host(host)
	return err == nil && h.known(p)
}

// Complete says that everything the host's chain holds is in its Table: without its positions at the epoch's start, only Missing makes it so.
func (p *Partition) Complete(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, err := p.host(host)
	return err == nil && h.known(p) && !h.value.floating
}

// PassTo says that nothing more is to come up to a sequence.
func (p *Partition) PassTo(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appended = max(p.appended, sequence)
}

// Lacks says that messages up to a sequence are gone. Whose they were, nobody knows, so the ledger entry names no host: what it means is what no archive holds.
func (p *Partition) Lacks(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(p.nameless(sequence))
}

// Named takes back what Lacks said: entries that name hosts and bytes say it better.
func (p *Partition) Named(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.nameless(sequence)
	p.pending.drop(e.ledgerKey())
}

func (p *Partition) nameless(sequence uint64) Entry {
	return Entry{To: -1, Reason: ReasonRestored, Stream: p.stream, Epoch: p.epoch, Sequence: sequence}
}

func (h *host) known(p *Partition) bool { return h.value.stream == p.id && h.value.epoch == p.epoch }

// host finds a host, reading it from the index at its first mention.
func (p *Partition) host(name string) (*host, error) {
	if h := p.hosts[name]; h != nil {
		return h, nil
	}
	h, err := p.a.loadHost(name)
	if err == nil {
		p.hosts[name] = h
	}
	return h, err
}

// Adopt sets the positions of a host to its table as of the epoch's start; the empty table is that of a new host. Other archives
// may hold those bytes, so nothing is entered into the ledger.
func (p *Partition) Adopt(host string, t wire.Table) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	h, err := p.host(host)
	if err != nil {
		return err
	}
	err = p.eachExtent(h, &t, func(g *generation, e wire.Extent) {
		g.offset, g.identity = e.Offset, e.Identity
	})
	if err != nil {
		return err
	}
	p.setTable(h, t.Clone())
	return nil
}

// AdoptUnknown is Adopt where the positions at the epoch's start cannot be had any more, because the host's table has gone on since. A generation then
// begins where its first chunk does: what is before that, another archive may hold, so it is not missing (rule R7).
func (p *Partition) AdoptUnknown(host string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	h, err := p.host(host)
	if err != nil {
		return err
	}
	p.setTable(h, wire.Table{})
	h.value.floating = true
	return nil
}

// Missing brings a host up to its table after the messages up to the table's sequence were read again as far as the stream still has them (rule R8):
// what the table holds beyond the archive's positions becomes a ledger entry. The table may be older than what was read: it never takes a position back, or
// what comes next would look like a gap.
func (p *Partition) Missing(host string, t wire.Table) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	h, err := p.host(host)
	if err != nil {
		return err
	}
	err = p.eachExtent(h, &t, func(g *generation, e wire.Extent) {
		if g.identity == "" {
			g.identity = e.Identity
		}
		if g.offset >= e.Offset {
			return
		}
		if h.value.floating && g.sequence <= p.start { // nothing came of it in this epoch
			g.offset = e.Offset
			return
		}
		p.enter(Entry{
			Host: host, Source: g.source.name, Generation: g.number, From: g.offset, To: e.Offset,
			Reason: ReasonRestored, Stream: p.stream, Epoch: p.epoch, Sequence: t.Sequence,
		})
		g.offset = e.Offset
	})
	if err != nil {
		return err
	}
	joined := h.table.Clone()
	joined.Join(&t, h.finishedBehind(t.Sequence))
	h.finished = nil
	p.setTable(h, joined)
	return nil
}

// eachExtent visits the generations of a table, after all of them were found.
func (p *Partition) eachExtent(h *host, t *wire.Table, visit func(*generation, wire.Extent)) error {
	var found []*generation
	var extents []wire.Extent
	for source := range t.Sources {
		for _, e := range t.Sources[source] {
			g, err := p.a.generation(p.a.source(h, source), e.Generation)
			if err != nil {
				return err
			}
			found, extents = append(found, g), append(extents, e)
		}
	}
	for i, g := range found {
		visit(g, extents[i])
		g.sequence = max(g.sequence, t.Sequence)
		p.pending.generations[g] = struct{}{}
		p.pending.sources[g.source] = struct{}{}
	}
	return nil
}

// setTable makes t the table of a host, and lists what it holds.
func (p *Partition) setTable(h *host, t wire.Table) {
	if t.Sources == nil {
		t.Sources = wire.Sources{}
	}
	h.table = t
	for _, s := range h.sources {
		for _, g := range s.generations {
			if listed := t.Find(s.name, g.number) != nil; listed != g.listed {
				g.listed = listed
				p.pending.generations[g] = struct{}{}
			}
		}
		if extents := t.Sources[s.name]; len(extents) > 0 {
			s.oldest = extents[0].Generation
		}
	}
	h.value = hostValue{stream: p.id, epoch: p.epoch, sequence: t.Sequence, writer: t.Writer, number: t.Number, used: t.Forgotten, unread: h.value.unread}
	p.touch(h)
}

// HealTo says that messages up to bound are read again into an archive that was restored from an old copy. Some may have been purged: a gap they leave is
// entered as archive-restored, and a chain that does not link there is no break. Until HealTo(0) says that the archive is whole, only its worker draws borders.
func (p *Partition) HealTo(bound uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.healTo = bound
}

func (p *Partition) whole() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.healTo == 0
}

// Table is the table of a host as of everything appended so far. It may be published once the floor has passed its Sequence.
func (p *Partition) Table(host string) wire.Table {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[host]; h != nil {
		return h.table.Clone()
	}
	return wire.Table{}
}

// Confirm says that the record's floor is known to be at least floor: nothing at or below it will be set aside any more.
func (p *Partition) Confirm(floor uint64) {
	for {
		known := p.confirmed.Load()
		if floor <= known || p.confirmed.CompareAndSwap(known, floor) {
			return
		}
	}
}

// Confirmed is the highest floor that Confirm was told, of this Partition or one before.
func (p *Partition) Confirmed() uint64 { return p.confirmed.Load() }

// touch notes that a host has changes to commit.
func (p *Partition) touch(h *host) {
	p.pending.hosts[h] = struct{}{}
	h.border = p.border
}

// enter adds to the ledger with the next commit.
func (p *Partition) enter(e Entry) {
	p.pending.entries = append(p.pending.entries, e)
	p.a.stats.miss(e)
}

// Close forgets what is not committed, after a commit that is running has ended. The next Partition of any stream cuts the files back.
func (p *Partition) Close() error {
	p.doing.Lock()
	defer p.doing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if err := p.noteConfirmed(); err != nil {
		p.a.log.Warn("cannot note the floor in the index", "stream", p.stream, "err", err)
	}
	p.closed = true
	if p.fault == nil {
		p.fault = ErrClosed
	}
	p.turn.Broadcast()
	for c := range p.cuts { // given up with the partition
		c.release()
	}
	for t := range p.pending.segments {
		p.a.files.forget(t)
	}
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	for _, h := range p.hosts {
		if begun := h.closeFiles(p.a.files); begun || h.border > p.done {
			p.a.unclean[h.name] = true
		}
	}
	delete(p.a.partitions, p.stream)
	return p.dir.Close()
}

// noteConfirmed writes the floor that was confirmed after the last commit: it tells a hub from an old copy of its store, and the janitor what it may touch.
func (p *Partition) noteConfirmed() error {
	v, err := p.a.streamValue(p.stream, p.created)
	if err != nil || v.id == 0 || v.confirmed >= p.confirmed.Load() {
		return err
	}
	return p.a.group.do(func(tx *bbolt.Tx) error {
		data, err := getValue(tx, bucketStreams, []byte(p.stream))
		if err != nil {
			return err
		}
		v, err := decodeStream(data)
		if err != nil {
			return err
		}
		v.confirmed = max(v.confirmed, p.confirmed.Load())
		return putValue(tx, bucketStreams, []byte(p.stream), v.encode())
	})
}

// closeFiles says whether a file was begun that has no byte yet: the index does not know it, and it must not stand in the way of another source's directory.
func (h *host) closeFiles(f *files) (begun bool) {
	for _, s := range h.sources {
		for g := range maps.Values(s.generations) {
			if g.tail != nil {
				f.forget(g.tail)
				begun = begun || g.tail.value.length == 0
			}
		}
	}
	return begun
}
