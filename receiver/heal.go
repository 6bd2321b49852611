package receiver

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/logdrive/logdrive/receiver/handover"
)

// errHealed ends a tenure that heals: everything was read again.
var errHealed = errors.New("the epoch is whole again")

// consumer is the name under which the hub's reports show the tenure.
func (t *tenure) consumer() string {
	if t.healTo != 0 {
		return "heal-" + strconv.FormatUint(t.epoch, 10)
	}
	return "archive-" + strconv.FormatUint(t.epoch, 10)
}

// heal reads again what the archive should hold by the record and does not, since it was restored from an old copy (rule R8): first of all, so that it
// holds its bytes in order.
func (t *tenure) heal(ctx context.Context) error {
	for _, r := range t.lacking {
		if err := t.healEpoch(ctx, r); err != nil {
			return fmt.Errorf("heal epoch %d: %w", r.Epoch, err)
		}
	}
	return nil
}

func (t *tenure) healEpoch(ctx context.Context, r handover.Range) error {
	t.log.Warn("the archive is older than the record: a backup was restored. Reading again what the hub still has",
		"epoch", r.Epoch, "after", r.After, "to", r.To)
	old := &tenure{
		session: t.session, number: t.number, epoch: r.Epoch, began: t.records.record.StartOf(r.Epoch), healTo: r.To,
		log: t.log, health: t.health, stream: t.stream, records: t.records, keeping: make(chan []hostTable, 1),
	}
	if err := t.membership.heals(ctx, t.number, true); err != nil {
		return err
	}
	var err error
	if old.partition, err = t.archive.Partition(t.records.record.Stream, t.records.record.Created, r.Epoch, old.began); err != nil {
		return err
	}
	old.partition.HealTo(r.To)
	if err := errors.Join(old.archiveAll(ctx), old.partition.Close()); err != nil {
		return err
	}
	if done := old.partition.Committed(); done < r.To {
		return fmt.Errorf("it is whole up to %d of %d: %w", done, r.To, context.Cause(ctx))
	}
	return t.membership.heals(ctx, t.number, false)
}

// healed is called when everything the stream still has below the bound was read again: what the tables hold beyond that is gone from both, and the ledger says so
// (rule R8). No border is drawn between the last message and these entries, so they are committed together.
func (a *appender) healed(ctx context.Context) error {
	known, beyond := newTables(a.bucket, a.layout.Stream(a.number)), false
	hosts, err := known.hosts(ctx, a.js)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		table, _, err := known.read(ctx, host)
		if err != nil {
			return err
		}
		if table.Sequence > a.healTo {
			beyond = true // it tells of later epochs, which other archives hold
			continue
		}
		if table.Sequence <= a.began {
			continue // it tells of nothing that is to be read again
		}
		if err := a.learn(ctx, host); err != nil {
			return err
		}
		if err := a.partition.Missing(host, table); err != nil {
			return err
		}
	}
	a.log.Info("the archive is healed as far as the hub can", "epoch", a.epoch, "to", a.healTo)
	a.partition.HealTo(0)
	a.partition.PassTo(a.healTo)
	if !beyond {
		a.partition.Named(a.healTo)
	}
	a.open.messages++
	a.healTo = 0
	return errHealed
}

// halfHealed says that all was read again, and what is gone for good is not in the ledger yet: a commit now would make the archive look whole.
func (a *appender) halfHealed() bool { return a.healTo != 0 && a.taken >= a.healTo }
