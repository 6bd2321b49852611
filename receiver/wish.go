package receiver

import (
	"context"
	"log/slog"
	"sync"

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
	revision, err = readKey(ctx, bucket, key, &w)
	return w, revision, err
}

// run follows the wishes until ctx ends.
func (w *wishes) run(ctx context.Context) error { return follow(ctx, w.bucket, w.key, w.log, w.look) }

// look reads the wishes and tells those who wait, if they have changed.
func (w *wishes) look(ctx context.Context) error {
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
