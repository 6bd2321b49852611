package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// layoutKeys are the two keys that say how the hub divides the hosts, now and next. Whoever follows or drives a change reads them, on any node.
type layoutKeys struct{ bucket jetstream.KeyValue }

func openLayoutKeys(ctx context.Context, js jetstream.JetStream) (layoutKeys, error) {
	bucket, err := js.KeyValue(ctx, wire.Bucket)
	if err != nil {
		return layoutKeys{}, fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	return layoutKeys{bucket}, nil
}

// standing is what the keys say at one moment.
type standing struct {
	now          wire.Layout
	revision     uint64 // of now
	next         wire.NextLayout
	nextRevision uint64 // 0: nobody wants another layout
}

// read reads the next layout first: it goes last, so a change that ends meanwhile does not look like one that was taken back.
func (k layoutKeys) read(ctx context.Context) (s standing, err error) {
	if s.nextRevision, err = k.get(ctx, wire.NextLayoutKey, &s.next); errors.Is(err, jetstream.ErrKeyNotFound) {
		err = nil
	}
	if err == nil {
		s.revision, err = k.get(ctx, wire.LayoutKey, &s.now)
	}
	return s, err
}

func (k layoutKeys) get(ctx context.Context, key string, into any) (uint64, error) {
	entry, err := k.bucket.Get(ctx, key)
	if err == nil {
		err = json.Unmarshal(entry.Value(), into)
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	return entry.Revision(), nil
}

// wanted says that someone wants another layout than the one that is there.
func (s standing) wanted() bool { return s.nextRevision != 0 && s.next.Number != s.now.Number }

// replaced says that the next layout is there, and the one before it is still to be cleared away.
func (s standing) replaced() bool { return s.nextRevision != 0 && s.next.Number == s.now.Number }

// check refuses a next layout that no command of logdrive has written: nothing has been touched for it yet.
func (s standing) check() error {
	if s.next.Hub != s.now.Hub || s.next.Number != s.now.Number+1 {
		return fmt.Errorf("%s is of hub %s and number %d, the hub is %s and has layout %d: delete that key", wire.NextLayoutKey, s.next.Hub, s.next.Number, s.now.Hub, s.now.Number)
	}
	return checkLayout(s.next.Layout)
}

func checkLayout(l wire.Layout) error {
	if l.Partitions < 1 || l.Partitions > wire.MaxPartitions {
		return fmt.Errorf("%d partitions: 1 to %d are possible", l.Partitions, wire.MaxPartitions)
	}
	if l.StreamBytes < minStreamBytes || l.StreamBytes > maxStreamBytes {
		return fmt.Errorf("stream size %d bytes: %d to %d are possible", l.StreamBytes, int64(minStreamBytes), int64(maxStreamBytes))
	}
	return nil
}

// seal writes down, before the first stream of the old layout is sealed, that the change cannot be taken back.
func (k layoutKeys) seal(ctx context.Context, s *standing) error {
	next := s.next
	next.Sealing = true
	revision, err := k.update(ctx, wire.NextLayoutKey, next, s.nextRevision)
	if err == nil {
		s.next, s.nextRevision = next, revision
	}
	return err
}

// install puts the next layout in the place of the one before. Receivers and all hub nodes see that.
func (k layoutKeys) install(ctx context.Context, s *standing) error {
	revision, err := k.update(ctx, wire.LayoutKey, s.next.Layout, s.revision)
	if err == nil {
		s.now, s.revision = s.next.Layout, revision
	}
	return err
}

func (k layoutKeys) update(ctx context.Context, key string, value any, revision uint64) (uint64, error) {
	data, err := json.Marshal(value)
	if err == nil {
		revision, err = k.bucket.Update(ctx, key, data, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", key, err)
	}
	return revision, nil
}

// clear ends the change, or takes it back.
func (k layoutKeys) clear(ctx context.Context, s standing) error {
	if err := k.bucket.Delete(ctx, wire.NextLayoutKey, jetstream.LastRevision(s.nextRevision)); err != nil {
		return fmt.Errorf("delete %s: %w", wire.NextLayoutKey, err)
	}
	return nil
}

// lookEvery is how often the keys are read beside the watch, should that hang.
const lookEvery = time.Second

// attend calls look at once, whenever one of the keys has changed, and as often as look itself wants. Faults are waited out until ctx ends.
func (k layoutKeys) attend(ctx context.Context, log *slog.Logger, look func(context.Context) (time.Duration, error)) error {
	var complaint string
	var said time.Time
	for {
		err := k.attendOnce(ctx, look)
		if ctx.Err() != nil {
			return nil
		}
		if err.Error() != complaint || time.Since(said) > repeatEvery {
			complaint, said = err.Error(), time.Now()
			log.Warn("change of the layout does not go on; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

var errWatchEnded = errors.New("the watch has ended")

func (k layoutKeys) attendOnce(ctx context.Context, look func(context.Context) (time.Duration, error)) error {
	watch, err := k.bucket.WatchFiltered(ctx, []string{wire.LayoutKey, wire.NextLayoutKey}, jetstream.UpdatesOnly())
	if err != nil {
		return fmt.Errorf("watch the layout: %w", err)
	}
	defer func() { _ = watch.Stop() }() // its consumer ends by itself
	for {
		again, err := look(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		case _, open := <-watch.Updates():
			if !open {
				return errWatchEnded
			}
		}
	}
}
