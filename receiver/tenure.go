package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// errOwned says that a living receiver owns the partition.
var errOwned = errors.New("another receiver owns the partition")

// errUnwanted ends a tenure whose partition shall be another's.
var errUnwanted = errors.New("the coordinator wants another owner")

// errStopped ends the goroutines of a tenure when the last commit is made.
var errStopped = errors.New("stopped")

// tenure is this process's ownership of one partition, from reading the record to the first fault or the end. It has one goroutine each to fetch, to
// append, to commit and to write tables; each owns its own state, and they hand deliveries, groups and tables on.
type tenure struct {
	*session
	number    int    // of the partition
	epoch     uint64 // of the tenure
	began     uint64 // sequence at which it began; the record itself is the committer's, once it runs
	healTo    uint64 // what is read again into a restored archive ends here; 0: the tenure is the owner's. The appender's, once it runs
	log       *slog.Logger
	stream    jetstream.Stream
	records   *recordStore
	partition *archive.Partition
	health    *health
	lacking   []handover.Range // what the record says of this archive, and it does not hold: it was restored from an old copy
	keeping   chan []hostTable // from the committer to the tabler
}

// own waits for its turn to own the partition, and archives until ctx ends, the coordinator wants another owner, or something breaks.
func (s *session) own(ctx context.Context, number int, h *health) error {
	t := &tenure{
		session: s, number: number, health: h, log: s.cfg.Logger.With("partition", number),
		records: &recordStore{bucket: s.bucket, key: wire.RecordKey(s.layout.Number, number)},
		keeping: make(chan []hostTable, 1),
	}
	if err := t.await(ctx); err != nil {
		return err
	}
	if err := t.open(); err != nil {
		return err
	}
	if t.partition.Committed() >= t.stream.CachedInfo().State.LastSeq {
		h.working() // nothing waits, and no append or commit would say that a fault is over
	}
	t.retireConsumers(ctx)
	defer t.metrics.owns(number, false)
	t.metrics.owns(number, true)
	t.log.Info("owns partition", "epoch", t.records.record.Epoch, "floor", t.records.record.Floor, "committed", t.partition.Committed())
	wanted, end := t.whileWanted(ctx)
	defer end()
	if err := errors.Join(t.archiveAll(wanted), t.partition.Close()); err != nil {
		return err
	}
	return t.release(ctx)
}

// turnMin and turnMax are the pauses between looks at the record of a partition that its owner is about to release.
const turnMin, turnMax = 20 * time.Millisecond, 200 * time.Millisecond

// await reconciles the archive with the record, whoever owns the partition, waits until it shall be this archive's, and takes it over.
func (t *tenure) await(ctx context.Context) error {
	select {
	case <-t.wishes.known:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := t.look(ctx); err != nil {
		return err
	}
	if err := t.heal(ctx); err != nil {
		return err
	}
	wait := backoff{turnMin, turnMax}
	for {
		if !t.owner() {
			if err := t.wanted(ctx); err != nil {
				return err
			}
		}
		err := t.takeOver(ctx)
		if !errors.Is(err, errOwned) {
			return err
		}
		t.health.fault(err)
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// owner says that the archive owns the partition already. If it should not, it takes it up all the same: only it can release it.
func (t *tenure) owner() bool {
	return t.records.record.Owner == t.archive.ID() && !t.records.record.Released
}

// wanted waits until the coordinator wants this archive to own the partition. It looks at the record, too: a take-over that was given up, perhaps by the process
// before, may land late, and nobody else may take over from a receiver that lives.
func (t *tenure) wanted(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.RetryMax)
	defer tick.Stop()
	for {
		owner, changed := t.wishes.owner(t.number)
		if owner == t.archive.ID() {
			return nil
		}
		t.health.working() // it has nothing to do
		select {
		case <-changed:
		case <-tick.C:
			if err := t.records.read(ctx); err == nil && t.owner() {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// whileWanted is a context that ends when the coordinator wants another owner.
func (t *tenure) whileWanted(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for ctx.Err() == nil {
			owner, changed := t.wishes.owner(t.number)
			if owner != t.archive.ID() {
				cancel(errUnwanted)
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// readTimeout bounds a request that may be made again at once. Who asks for a stream while its leader is elected gets no answer, also when there is one soon after.
const readTimeout = 2 * time.Second

// look reads the record and makes the archive agree with it (rule R4).
func (t *tenure) look(ctx context.Context) error {
	name := t.layout.Stream(t.number)
	if err := t.read(ctx, name); err != nil {
		return err
	}
	info := t.stream.CachedInfo()
	if t.records.record.Epoch == 0 {
		t.records.record = handover.Record{Stream: name, Created: info.Created}
	}
	return t.reconcile(t.records.record, info)
}

// read asks for the stream and then for the record.
func (t *tenure) read(ctx context.Context, stream string) (err error) {
	asking, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if t.stream, err = t.js.Stream(asking, stream); err != nil {
		return fmt.Errorf("open stream %s: %w", stream, err)
	}
	asking, cancel = context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return t.records.read(asking)
}

// takeOver makes this archive the owner in the record (rules R3, R4): read, reconcile, compare-and-set. Nothing is fetched before the record says so.
func (t *tenure) takeOver(ctx context.Context) error {
	if err := t.look(ctx); err != nil {
		return err
	}
	record := t.records.record
	switch {
	case record.Owner == t.archive.ID() && !record.Released:
		return nil
	case record.Owner == t.archive.ID():
		return t.records.write(ctx, record.Resume())
	case record.Owner == "" || record.Released:
	case t.roster.alive(record.Owner):
		return fmt.Errorf("%w: archive %s", errOwned, record.Owner)
	default:
		t.log.Warn("the owner is gone; taking over from its floor. Keep its archive: what it holds is not here", "owner", record.Owner, "floor", record.Floor)
	}
	if err := t.at("take over"); err != nil {
		return err
	}
	if err := t.records.write(ctx, record.TakeOver(t.archive.ID())); err != nil {
		return err
	}
	return t.at("taken over")
}

// release writes the final floor and that nothing more will be written, in one compare-and-set (rule R6): another may take over at once.
func (t *tenure) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.cfg.DrainTime)
	defer cancel()
	record := t.records.record
	released, err := record.Release(max(record.Floor, t.partition.Committed()))
	if err != nil {
		return err
	}
	if err := t.at("release"); err != nil {
		return err
	}
	if err := t.records.write(ctx, released); err != nil {
		return err
	}
	if err := t.at("released"); err != nil {
		return err
	}
	t.log.Info("released partition", "epoch", released.Epoch, "floor", released.Floor)
	return nil
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
	if err := t.checkHub(record, info, held); err != nil {
		return err
	}
	plan, err := handover.Reconcile(record, t.archive.ID(), held)
	if err != nil {
		return err
	}
	t.lacking = plan.ReadAgain
	if len(plan.SetAside) > 0 {
		t.log.Warn("setting aside what another archive holds", "ranges", plan.SetAside)
	}
	return t.archive.SetAside(name, plan.SetAside)
}

// checkHub complains about a hub whose whole store is an old copy, records and all (rule H3): it gives sequences that this archive has committed to other batches,
// which would be taken for archived.
func (t *tenure) checkHub(record handover.Record, info *jetstream.StreamInfo, held []handover.Held) error {
	const remedy = "the hub's store is an old copy, and batches would be lost. Restore its newest, or found a new hub"
	for _, h := range held {
		if h.To > info.State.LastSeq {
			return fmt.Errorf("stream %s ends at %d, this archive has committed it up to %d: %s", info.Config.Name, info.State.LastSeq, h.To, remedy)
		}
	}
	confirmed, err := t.archive.Confirmed(info.Config.Name, info.Created)
	if err == nil && confirmed > record.Floor {
		err = fmt.Errorf("the floor of stream %s is %d, this archive has seen it at %d: %s", info.Config.Name, record.Floor, confirmed, remedy)
	}
	return err
}

func (t *tenure) open() (err error) {
	record := t.records.record
	t.epoch, t.began = record.Epoch, record.Epochs[len(record.Epochs)-1].Start
	if t.partition, err = t.archive.Partition(record.Stream, record.Created, record.Epoch, t.began); err != nil {
		return err
	}
	if committed := t.partition.Committed(); committed < record.Floor { // it was healed before
		return errors.Join(fmt.Errorf("the archive is committed up to %d, below the floor %d", committed, record.Floor), t.partition.Close())
	}
	return nil
}

// retireConsumers deletes those of earlier epochs: a report should show where the partition stands, and they decide nothing.
func (t *tenure) retireConsumers(ctx context.Context) {
	names := t.stream.ConsumerNames(ctx)
	for name := range names.Name() {
		number, ok := strings.CutPrefix(name, "archive-")
		epoch, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil || epoch >= t.epoch {
			continue
		}
		if err := t.stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.log.Warn("cannot delete the consumer of an earlier epoch", "consumer", name, "err", err)
		}
	}
	if err := names.Err(); err != nil {
		t.log.Warn("cannot list the consumers of earlier epochs", "err", err)
	}
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
		stream: t.stream, name: t.consumer(), after: t.partition.Committed(),
		healTo: t.healTo, pull: t.cfg.PullBytes, decoder: decoder, free: free,
	}
	a := newAppender(t, free)
	c := &committer{tenure: t, done: t.partition.Committed(), healing: t.healTo != 0}
	tasks.Go(func() error {
		if err := t.at("fetch"); err != nil {
			return err
		}
		if err := f.run(fetching, deliveries); ctx.Err() == nil {
			return err
		}
		return nil
	})
	tasks.Go(func() error { return a.run(ctx, inner, deliveries, groups) })
	tasks.Go(func() error { return c.run(inner, groups) })
	tasks.Go(func() error { return newTabler(t).run(inner) })
	// errStopped comes last: with it alone, everything that was appended is committed.
	if err := tasks.Wait(); err != errStopped {
		return err
	}
	return nil
}
