package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// errOwned says that a living receiver owns the partition.
var errOwned = errors.New("another receiver owns the partition")

// errStopped ends the goroutines of a tenure when the last commit is made.
var errStopped = errors.New("stopped")

// tenure is this process's ownership of one partition, from reading the record to the first fault or the end. It has one goroutine each to fetch, to
// append, to commit and to keep the stream in shape; each owns its own state, and they hand deliveries, groups and tables on.
type tenure struct {
	*Receiver
	number    int    // of the partition
	began     uint64 // sequence at which the epoch began; the record itself is the committer's, once it runs
	log       *slog.Logger
	stream    jetstream.Stream
	records   *recordStore
	partition *archive.Partition
	health    *health
	healTo    uint64           // floor below which a restored archive is read again; 0: it is whole. The appender's, once it runs
	keeping   chan []hostTable // from the committer to the keeper
	wanted    chan []string    // hosts whose tables the keeper needs, to the appender
	whole     chan struct{}    // closed when the archive has committed what it read again; nothing may be purged before, for the tables cover that
}

// own takes the partition over, or continues to own it, and archives until ctx ends or something breaks.
func (r *Receiver) own(ctx context.Context, number int, h *health) error {
	t := &tenure{
		Receiver: r, number: number, health: h, log: r.cfg.Logger.With("partition", number),
		records: &recordStore{bucket: r.bucket, key: wire.RecordKey(r.layout.Number, number)},
		keeping: make(chan []hostTable, 1), wanted: make(chan []string), whole: make(chan struct{}),
	}
	if err := t.takeOver(ctx); err != nil {
		return err
	}
	if err := t.open(); err != nil {
		return err
	}
	defer t.metrics.owns(number, false)
	t.metrics.owns(number, true)
	t.log.Info("owns partition", "epoch", t.records.record.Epoch, "floor", t.records.record.Floor, "committed", t.partition.Committed())
	err := t.archiveAll(ctx)
	return errors.Join(err, t.partition.Close())
}

// takeOver makes this archive the owner in the record (rules R3, R4): read, reconcile, compare-and-set. Nothing is fetched before the record says so.
func (t *tenure) takeOver(ctx context.Context) (err error) {
	name := t.layout.Stream(t.number)
	if t.stream, err = t.js.Stream(ctx, name); err != nil {
		return fmt.Errorf("open stream %s: %w", name, err)
	}
	if err := t.records.read(ctx); err != nil {
		return err
	}
	info := t.stream.CachedInfo()
	record := t.records.record
	if record.Epoch == 0 {
		record = handover.Record{Stream: name, Created: info.Created}
	}
	if err := t.reconcile(record, info); err != nil {
		return err
	}
	if record.Owner == t.archive.ID() && !record.Released {
		return nil
	}
	if record.Owner != "" && !record.Released {
		if alive, err := t.members.alive(ctx, record.Owner); alive || err != nil {
			return errors.Join(fmt.Errorf("%w: archive %s", errOwned, record.Owner), err)
		}
		t.log.Warn("the owner is gone; taking over from its floor. Keep its archive: what it holds is not here", "owner", record.Owner, "floor", record.Floor)
	}
	return t.records.write(ctx, record.TakeOver(t.archive.ID()))
}

// reconcile makes the archive agree with the record: what later epochs archived elsewhere is set aside.
func (t *tenure) reconcile(record handover.Record, info *jetstream.StreamInfo) error {
	name := info.Config.Name
	if !record.Created.Equal(info.Created) { // rule H3: the floor says nothing about its sequences
		return fmt.Errorf("stream %s was created at %s, its record is of one that was created at %s: the hub's store was replaced. Restore it, or found a new hub",
			name, info.Created.UTC().Format(time.RFC3339Nano), record.Created.UTC().Format(time.RFC3339Nano))
	}
	if info.State.LastSeq < record.Floor {
		return fmt.Errorf("stream %s ends at %d, below its floor %d: the hub lost batches that are archived. Restore the hub's store, or found a new hub", name, info.State.LastSeq, record.Floor)
	}
	held, err := t.archive.Held(name, info.Created)
	if err != nil {
		return err
	}
	plan, err := handover.Reconcile(record, t.archive.ID(), held)
	if err != nil {
		return err
	}
	for _, lacking := range plan.ReadAgain {
		if lacking.Epoch < record.Epoch {
			t.log.Error("the archive lacks what it held in an earlier epoch: an old backup was restored; bring a newer one", "epoch", lacking.Epoch, "after", lacking.After, "to", lacking.To)
		}
	}
	if len(plan.SetAside) > 0 {
		t.log.Warn("setting aside what another archive holds", "ranges", plan.SetAside)
	}
	return t.archive.SetAside(name, plan.SetAside)
}

func (t *tenure) open() (err error) {
	record := t.records.record
	t.began = record.Epochs[len(record.Epochs)-1].Start
	if t.partition, err = t.archive.Partition(record.Stream, record.Created, record.Epoch, t.began); err != nil {
		return err
	}
	if committed := t.partition.Committed(); committed < record.Floor {
		t.log.Warn("the archive is older than the record: a backup was restored. Reading again what the hub still has", "committed", committed, "floor", record.Floor)
		t.healTo = record.Floor
		t.partition.HealTo(record.Floor)
		return nil
	}
	close(t.whole)
	return nil
}

// archiveAll runs the goroutines of the tenure. When ctx ends the fetching stops, and what was appended is still committed.
func (t *tenure) archiveAll(ctx context.Context) error {
	decoder, err := wire.NewDecoder()
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	tasks, inner := errgroup.WithContext(life)
	fetching, stop := context.WithCancel(inner)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	// A hub that is out of reach must not keep the process from ending: what is not in the record then is read again.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(t.cfg.DrainTime, end) })()
	deliveries, groups, free := make(chan *delivery, 2), make(chan *group), make(chan []byte, 4)
	f := &fetcher{
		stream: t.stream, name: "archive-" + strconv.FormatUint(t.records.record.Epoch, 10), after: t.partition.Committed(),
		healTo: t.records.record.Floor, pull: t.cfg.PullBytes, decoder: decoder, free: free,
	}
	tasks.Go(func() error {
		if err := f.run(fetching, deliveries); ctx.Err() == nil {
			return err
		}
		return nil
	})
	a := newAppender(t, free)
	tasks.Go(func() error { return a.run(ctx, inner, deliveries, groups) })
	c := &committer{tenure: t, healTo: t.healTo}
	tasks.Go(func() error { return c.run(inner, groups) })
	tasks.Go(func() error { return newKeeper(t).run(inner) })
	// errStopped comes last: with it alone, everything that was appended is committed.
	if err := tasks.Wait(); err != errStopped {
		return err
	}
	return nil
}
