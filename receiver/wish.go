package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/receiver/assign"
)

// Wishes is what the coordinator wants. It binds nobody: only a compare-and-set of the record makes an owner (rule R1).
type Wishes struct {
	Term   uint64        `json:"term"` // of the coordinator that wrote it
	Wishes []assign.Wish `json:"wishes"`
}

// wishes follows the coordinator's wishes.
type wishes struct {
	bucket jetstream.KeyValue
	key    string
	log    *slog.Logger
	now    *cell[Wishes]
	seen   uint64        // revision of now
	known  chan struct{} // closed when they were read for the first time
	learnt sync.Once
}

func newWishes(bucket jetstream.KeyValue, key string, log *slog.Logger) *wishes {
	return &wishes{bucket: bucket, key: key, log: log, now: newCell[Wishes](), known: make(chan struct{})}
}

// readWishes reads them from the leader of the bucket, with their revision; 0 when there are none.
func readWishes(ctx context.Context, bucket jetstream.KeyValue, key string) (w Wishes, revision uint64, err error) {
	entry, err := bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return w, 0, nil
	}
	if err == nil {
		revision, err = entry.Revision(), json.Unmarshal(entry.Value(), &w)
	}
	if err != nil {
		return w, 0, fmt.Errorf("read %s: %w", key, err)
	}
	return w, revision, nil
}

// wishEvery is how often the wishes are read beside the watch: one that hangs after an outage must not keep a receiver from what it should own.
const wishEvery = time.Second

// run follows the wishes until ctx ends.
func (w *wishes) run(ctx context.Context) error {
	tick := time.NewTicker(wishEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := w.follow(ctx, tick.C); err != nil && ctx.Err() == nil {
			w.log.Warn("cannot see who should own what; trying again", "err", err)
		}
		_ = pause(ctx, wishEvery)
	}
	return nil
}

func (w *wishes) follow(ctx context.Context, tick <-chan time.Time) error {
	watch, err := w.bucket.Watch(ctx, w.key, jetstream.UpdatesOnly())
	if err != nil {
		return fmt.Errorf("watch %s: %w", w.key, err)
	}
	defer func() { _ = watch.Stop() }() // its consumer ends by itself
	for {
		if err := w.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
		case _, open := <-watch.Updates():
			if !open {
				return errors.New("the watch has ended")
			}
		}
	}
}

// look reads the wishes and tells those who wait, if they have changed.
func (w *wishes) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now, revision, err := readWishes(ctx, w.bucket, w.key)
	if err != nil {
		return err
	}
	if revision != w.seen {
		w.seen = revision
		w.now.set(now)
	}
	w.learnt.Do(func() { close(w.known) })
	return nil
}

// owner is who should own a partition, and a channel that is closed when that may have changed.
func (w *wishes) owner(partition int) (string, <-chan struct{}) {
	now, changed := w.now.get()
	if partition >= len(now.Wishes) {
		return "", changed
	}
	return now.Wishes[partition].Owner, changed
}
