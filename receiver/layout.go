package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// errLayout says that the hub has another layout now.
var errLayout = errors.New("the layout has changed")

func readLayout(ctx context.Context, bucket jetstream.KeyValue) (l wire.Layout, err error) {
	entry, err := bucket.Get(ctx, wire.LayoutKey)
	if err == nil {
		err = json.Unmarshal(entry.Value(), &l)
	}
	if err != nil {
		return l, fmt.Errorf("read the layout: %w", err)
	}
	return l, nil
}

// followLayout returns errLayout when the hub divides its hosts anew. By then every floor is at the end of its stream.
func (s *session) followLayout(ctx context.Context) error {
	return follow(ctx, s.bucket, wire.LayoutKey, s.cfg.Logger, func(ctx context.Context) error {
		now, err := readLayout(ctx, s.bucket)
		if err == nil && now != s.layout {
			err = errLayout
		}
		return err
	})
}

// reconcileOthers makes the archive agree with the records of streams that are none of the layout's: it may have been away while the hub divided its hosts anew, and
// hold what others have archived since. It comes before anything is appended (rule R4).
func (s *session) reconcileOthers(ctx context.Context) error {
	streams, err := s.archive.Streams()
	if err != nil {
		return fmt.Errorf("list the archive's streams: %w", err)
	}
	for _, stream := range streams {
		hub, layout, partition, err := wire.ParseStream(stream.Name)
		if err != nil || hub != s.layout.Hub || layout == s.layout.Number {
			continue
		}
		records := &recordStore{bucket: s.bucket, key: wire.RecordKey(layout, partition)}
		if err := records.read(ctx); err != nil {
			return err
		}
		if err := s.reconcileOld(stream, records.record); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) reconcileOld(stream archive.Stream, record handover.Record) error {
	if record.Epoch == 0 || !record.Created.Equal(stream.Created) {
		return nil // nobody else ever archived it
	}
	plan, err := handover.Reconcile(record, s.archive.ID(), stream.Held)
	if err != nil {
		return err
	}
	if err := s.archive.SetAside(stream.Name, plan.SetAside); err != nil {
		return err
	}
	for _, r := range plan.ReadAgain {
		if err := s.nameLost(stream, record, r); err != nil {
			return fmt.Errorf("name what is lost of epoch %d of %s: %w", r.Epoch, stream.Name, err)
		}
	}
	return nil
}

// nameLost enters what a restored archive lacks of a stream that is gone.
func (s *session) nameLost(stream archive.Stream, record handover.Record, r handover.Range) (err error) {
	s.cfg.Logger.Error("the archive lacks what it held in an earlier layout: an old backup was restored; bring a newer one", "stream", stream.Name,
		"epoch", r.Epoch, "after", r.After, "to", r.To)
	p, err := s.archive.Partition(stream.Name, stream.Created, r.Epoch, record.StartOf(r.Epoch))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	p.Lacks(r.To)
	p.PassTo(r.To)
	return p.Cut().Do()
}
