package shipper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// depth is how many batches there are: one is in flight, two are encoded or waiting to be, one is filled. More would only hold memory; nothing is read while all are taken.
const depth = 4

// errDone ends shipping without a fault.
var errDone = errors.New("done")

// stretch is shipping from one hello to the next: everything between a Welcome and the moment the chain is found elsewhere. Its goroutine owns the tailer.
type stretch struct {
	*Shipper
	chain       checkpoint.Chain
	limit       int       // raw bytes of a batch, now
	most        int       // and at most
	free        []*batch  // taken by nobody
	filling     *batch    // nil: none is free
	left        time.Time // when a batch was last dispatched
	outstanding int       // dispatched and not acknowledged
	dry         bool      // the last Fill found nothing; the tailer's wake tells when to look again
	full        bool      // no new sources: the table would not fit into a message
	tended      time.Time // when the table was last looked at
	room        int       // bytes that the table may still grow by, at least
	swept       bool      // with Once: it was, after all was shipped
	table       wire.Table
	unsaved     snapshot // what the checkpoint is to take over, beside what the tailer tells

	encode  chan *batch
	publish chan *batch
	acked   chan acknowledgement
	save    chan snapshot
	held    holds
}

// ship runs a stretch. unsaved is what the checkpoint is to take over of the hub's answer. It returns nil when ctx ended or, with Once, when all is acknowledged; errRewind when hello must be said again.
func (s *Shipper) ship(ctx context.Context, w wire.Welcome, positions []tail.Generation, unsaved snapshot) error {
	encoders := make([]*wire.Encoder, s.cfg.Encoders)
	for i := range encoders {
		var err error
		if encoders[i], err = wire.NewEncoder(s.cfg.Codec); err != nil {
			return err
		}
	}
	st := s.newStretch(w)
	st.unsaved = unsaved
	if s.cfg.Hold {
		st.held = newHolds(w.Head, positions)
	}
	// What is in flight is drained after ctx ends, so the pipeline lives in a context of its own, ended by the filler.
	group, inner := errgroup.WithContext(context.WithoutCancel(ctx))
	for _, enc := range encoders {
		group.Go(func() error { return st.encoder(inner, enc) })
	}
	p := s.newPublisher(w)
	group.Go(func() error { return p.run(inner, st.publish, st.acked) })
	group.Go(func() error { return st.saver(inner) })
	if s.cfg.Hold {
		group.Go(func() error { return st.askArchived(inner) })
	}
	group.Go(func() error { return st.filler(ctx, inner) })
	err := group.Wait()
	st.saveLast()
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

func (s *Shipper) newStretch(w wire.Welcome) *stretch {
	most := s.cfg.MaxBatchBytes
	if w.MaxBatch > 0 {
		most = min(most, w.MaxBatch)
	}
	if s.tooLarge > 0 {
		most = min(most, s.tooLarge)
	}
	st := &stretch{
		Shipper: s,
		chain:   checkpoint.Chain{Stream: w.Stream, Created: w.Created, Sequence: w.Head, Forgotten: s.used},
		table:   *w.Table,
		limit:   min(s.cfg.BatchBytes, most),
		most:    most,
		encode:  make(chan *batch, depth), // a batch is in at most one place: sends never block
		publish: make(chan *batch, depth),
		acked:   make(chan acknowledgement, depth),
		save:    make(chan snapshot, 1), // st.saving says whether it is taken: sends never block
	}
	for range depth {
		st.free = append(st.free, newBatch())
	}
	return st
}

func (s *Shipper) newPublisher(w wire.Welcome) *publisher {
	return &publisher{
		js: s.js, ask: s.ask, subject: wire.LogSubject(s.cfg.Host), stream: w.Stream, expected: w.Head,
		patience: s.patience, retry: func() *backoff { return newBackoff(s.cfg.RetryMin, s.cfg.RetryMax) },
		log: s.cfg.Logger, metrics: s.metrics,
	}
}

func (st *stretch) encoder(ctx context.Context, enc *wire.Encoder) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-st.encode:
			b.encode(enc)
			b.encoded <- struct{}{}
		}
	}
}

// filler reads, dispatches and takes acknowledgements until ctx ends and what is in flight has come back.
func (st *stretch) filler(ctx, inner context.Context) error {
	save := time.NewTicker(st.cfg.SaveEvery)
	defer save.Stop()
	st.offerSnapshot()
	for {
		if err := st.fill(); err != nil {
			return err
		}
		if st.cfg.Once && st.outstanding == 0 && st.tailer.Done() {
			if err := st.allShipped(); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return st.drain(inner)
		case <-inner.Done():
			return inner.Err()
		case <-st.tailer.Wake():
			st.dry = false
		case a := <-st.acked:
			st.acknowledge(a)
		case <-save.C:
			st.offerSnapshot()
			st.observe()
		case archived := <-st.archived:
			st.held.release(archived, st.tailer)
		}
	}
}

// fill fills batches and dispatches them as long as there is something to read and a batch to take it. A batch leaves when it is full, or at once when nothing is in
// flight; otherwise it gathers what comes until the acknowledgement is there. While no batch is free nothing is read, but the files are looked after
// all the same: one that is rotated and deleted meanwhile must be open by then, or its bytes are lost.
func (st *stretch) fill() error {
	for !st.dry {
		if st.filling == nil && !st.take() {
			return st.tailer.Fill(&tail.Batch{}, tail.Limits{})
		}
		st.tend()
		before := st.filling.tail.HeaderBytes() + len(st.filling.tail.Data)
		if err := st.tailer.Fill(&st.filling.tail, tail.Limits{Bytes: st.limit, HeaderBytes: wire.MaxHeaders, NoNew: st.full}); err != nil {
			return fmt.Errorf("read files: %w", err)
		}
		st.dry = st.filling.tail.HeaderBytes()+len(st.filling.tail.Data) == before
		if st.enough() {
			st.dispatch()
		}
	}
	if st.outstanding == 0 && st.filling != nil && !st.filling.tail.Empty() && !st.cfg.paced(len(st.filling.tail.Data), time.Since(st.left)) {
		st.dispatch()
		return st.fill()
	}
	return nil
}

func (st *stretch) take() bool {
	if len(st.free) == 0 {
		return false
	}
	st.filling, st.free = st.free[len(st.free)-1], st.free[:len(st.free)-1]
	return true
}

// enough leaves an eighth open: a tailer that ends its chunks at newlines rarely fills a batch to its last byte.
func (st *stretch) enough() bool {
	b := &st.filling.tail
	return len(b.Data) >= st.limit-st.limit/8 || b.HeaderBytes() >= wire.MaxHeaders-wire.MaxHeaders/8
}

func (st *stretch) dispatch() {
	st.number++
	st.filling.describe(st.cfg.Writer, st.number)
	st.encode <- st.filling
	st.publish <- st.filling
	st.filling, st.dry, st.left = nil, false, time.Now()
	st.outstanding++
}

func (st *stretch) acknowledge(a acknowledgement) {
	st.tailer.Acked(&a.batch.tail)
	if st.cfg.Hold {
		st.held.note(&a.batch.tail, a.sequence)
	}
	st.chain.Sequence = a.sequence
	st.follow(a)
	st.head.Store(a.sequence)
	st.state.moved()
	st.resize(a.ready)
	st.recycle(a.batch)
	st.outstanding--
}

// resize lets batches grow while encoded ones wait for the hub, so that a slow disk or a long round trip costs no throughput, and shrink when the hub waits for them.
func (st *stretch) resize(ready bool) {
	switch {
	case ready && st.outstanding > 1:
		st.limit = min(2*st.limit, st.most)
	case !ready:
		st.limit = max(st.limit/2, min(st.cfg.BatchBytes, st.most))
	}
}

// recycle gives the batch back, without the buffers of an exceptional one.
func (st *stretch) recycle(b *batch) {
	if cap(b.tail.Data) > 2*st.limit {
		b = newBatch()
	}
	b.tail.Reset()
	st.free = append(st.free, b)
}

// drain waits for what is in flight: those bytes would otherwise be read and sent once more after the restart, which is harmless but slow.
func (st *stretch) drain(inner context.Context) error {
	timeout := time.NewTimer(st.cfg.DrainTimeout)
	defer timeout.Stop()
	for st.outstanding > 0 {
		select {
		case a := <-st.acked:
			st.acknowledge(a)
		case <-inner.Done():
			return errDone
		case <-timeout.C:
			return errDone
		}
	}
	return errDone
}

// Looking at many thousand sources takes milliseconds. It is done so seldom that it takes less than one part in two thousand of a core, but every observeAtLeast.
const (
	observeShare   = 2000
	observeAtLeast = 15 * time.Second
)

// observe refreshes the figures that say how far behind the agent is.
func (s *Shipper) observe() {
	begun := time.Now()
	if begun.Before(s.observeAt) {
		return
	}
	stats := s.tailer.Stats()
	s.observeAt = begun.Add(min(observeShare*time.Since(begun), observeAtLeast))
	s.state.pending(stats.Behind)
	s.state.refused(stats.Refused)
	s.metrics.tailing(stats)
}
