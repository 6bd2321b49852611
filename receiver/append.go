package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
)

// appender writes deliveries to the archive as they come, where readers see them at once, and draws the borders of commits. It runs on while a commit waits for the disk.
type appender struct {
	*tenure
	free    chan<- []byte
	open    group     // appended since the last border
	bytes   int64     // raw, in it
	first   time.Time // when its first delivery was appended
	ready   *group    // cut, and not yet taken by the committer
	taken   uint64    // sequence of the last delivery that is in the archive's files
	changed map[string]*change
	tables  []hostTable // wanted, to go with the next group
}

// change is what happened to a host since its table was last written.
type change struct {
	batches int
	since   time.Time
}

func newAppender(t *tenure, free chan<- []byte) *appender {
	return &appender{tenure: t, free: free, changed: map[string]*change{}, taken: t.partition.Committed()}
}

// run appends until ctx ends, and hands over what is left then. inner ends when another goroutine of the tenure failed.
func (a *appender) run(ctx, inner context.Context, in <-chan *delivery, out chan<- *group) error {
	defer close(out)
	tick, tables := time.NewTimer(0), time.NewTicker(a.cfg.TableEvery)
	defer tick.Stop()
	defer tables.Stop()
	for {
		if a.ready == nil && a.due() {
			a.cut(len(in) == 0)
		}
		more, handed := in, out
		if a.bytes >= a.cfg.MaxUncommited {
			more = nil
		}
		if a.ready == nil {
			handed = nil
		}
		select {
		case d := <-more:
			if err := a.append(ctx, inner, d); errors.Is(err, errHealed) {
				return a.finish(inner, out)
			} else if err != nil {
				return err
			}
			if ctx.Err() != nil { // perhaps d could not be appended: then nothing behind it may be, for a commit covers everything up to its last message
				return a.finish(inner, out)
			}
			if a.open.messages == 1 {
				tick.Reset(a.cfg.CommitEvery) // after first was set: due must be true when it fires
			}
		case handed <- a.ready:
			a.ready = nil
		case <-tick.C:
		case <-tables.C: // of hosts that are quiet now
			a.collectTables()
		case <-ctx.Done():
			return a.finish(inner, out)
		case <-inner.Done():
			return inner.Err()
		}
	}
}

// due reports whether it is time for a border.
func (a *appender) due() bool {
	return a.bytes >= a.cfg.CommitBytes || len(a.tables) > 0 ||
		a.open.messages > 0 && time.Since(a.first) >= a.cfg.CommitEvery
}

// cut draws a border: tables are taken here, where no batch is half appended.
func (a *appender) cut(last bool) {
	a.collectTables()
	a.open.commit, a.open.tables, a.open.last = a.partition.Cut(), a.tables, last
	g := a.open
	a.ready, a.open, a.bytes, a.tables = &g, group{}, 0, nil
}

// collectTables takes the tables of hosts whose last one is old. While a restored archive reads again what was not purged, its tables lack what was.
func (a *appender) collectTables() {
	if a.healTo != 0 {
		return
	}
	for host, c := range a.changed {
		if c.batches >= a.cfg.TableBatches || time.Since(c.since) >= a.cfg.TableEvery {
			a.snapshot([]string{host})
		}
	}
}

func (a *appender) snapshot(hosts []string) {
	for _, host := range hosts {
		if a.partition.Complete(host) {
			a.tables = append(a.tables, hostTable{host, a.partition.Table(host)})
		}
		delete(a.changed, host)
	}
}

// append tries until the delivery is in the archive's files: a full disk, or one that fails, stops the partition, never loses a byte.
func (a *appender) append(ctx, inner context.Context, d *delivery) error {
	if err := a.at("append"); err != nil {
		return err
	}
	wait := backoff{a.cfg.RetryMin, a.cfg.RetryMax}
	for {
		err := a.put(inner, d)
		if err == nil {
			a.account(d)
			a.health.working()
			return nil
		}
		if errors.Is(err, errHealed) {
			return err
		}
		err = fmt.Errorf("archive message %d of %s: %w", d.sequence, d.host, err)
		a.log.Error("cannot append; trying on, nothing is lost while the hub has room", "err", err)
		a.health.fault(err)
		if err := wait.sleep(ctx); err != nil {
			return nil // ctx ended: run sees it, and commits what was appended before
		}
		if inner.Err() != nil {
			return inner.Err()
		}
	}
}

func (a *appender) put(ctx context.Context, d *delivery) error {
	if a.healTo != 0 && d.sequence > a.taken+1 && a.taken < a.healTo {
		a.partition.Lacks(a.healTo) // in the commit that passes the gap: after a kill in between nobody would come upon it again
	}
	if a.healTo != 0 && d.sequence > a.healTo {
		if err := a.healed(ctx); err != nil {
			return err
		}
	}
	if d.sequence > a.taken { // else an earlier try came that far
		if err := a.take(ctx, d); err != nil {
			return err
		}
		a.taken = d.sequence
	}
	if a.healTo != 0 && d.sequence == a.healTo {
		return a.healed(ctx)
	}
	return nil
}

func (a *appender) take(ctx context.Context, d *delivery) error {
	if d.fault != nil {
		return a.quarantine(ctx, d, d.fault)
	}
	if err := a.learn(ctx, d.host); err != nil {
		return err
	}
	err := a.partition.Append(d.message())
	if errors.Is(err, archive.ErrQuarantine) {
		return a.quarantine(ctx, d, err)
	}
	return err
}

// learn tells the partition the positions of a host that it has not seen: those of the host's table at the start of the epoch (rule R7). Without
// them, bytes that another archive has would look missing here.
func (a *appender) learn(ctx context.Context, host string) error {
	if a.partition.Knows(host) {
		return nil
	}
	subject := wire.PartSubject(a.layout.Number, a.number, host)
	table, err := newTables(a.bucket, a.layout.Stream(a.number)).at(ctx, a.stream, subject, host, a.began)
	if err != nil {
		return err
	}
	if table.Sequence > a.began {
		return a.partition.AdoptUnknown(host)
	}
	return a.partition.Adopt(host, table)
}

// quarantine keeps a message that cannot be appended, whole, with its reason; the partition goes on.
func (a *appender) quarantine(ctx context.Context, d *delivery, reason error) error {
	a.log.Error("message goes to quarantine", "sequence", d.sequence, "subject", d.subject, "reason", reason)
	if d.host != "" {
		if err := a.learn(ctx, d.host); err != nil {
			return err
		}
	}
	return a.partition.Quarantine(archive.Quarantined{
		Subject: d.subject, Host: d.host, Sequence: d.sequence, Header: d.header, Payload: d.payload, Reason: reason.Error(), Batch: d.batch,
	})
}

func (a *appender) account(d *delivery) {
	if a.open.messages == 0 {
		a.first, a.open.oldest = time.Now(), d.stored
	}
	a.open.messages++
	a.open.replies = append(a.open.replies, d.reply)
	a.bytes += int64(len(d.raw)) + 1
	if d.host != "" {
		c := a.changed[d.host]
		if c == nil {
			c = &change{since: time.Now()}
			a.changed[d.host] = c
		}
		c.batches++
	}
	if d.batch != nil && d.batch.Encoding != wire.CodecNone {
		select {
		case a.free <- d.raw[:0]:
		default:
		}
	}
}

// finish commits what is left.
func (a *appender) finish(inner context.Context, out chan<- *group) error {
	for {
		if a.ready == nil {
			if a.open.messages == 0 || a.halfHealed() {
				return nil
			}
			a.cut(true)
		}
		select {
		case out <- a.ready:
			a.ready = nil
		case <-inner.Done():
			return inner.Err()
		}
	}
}
