package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// foundingKey holds the layout that the nodes of a new hub are making the streams of. It is written once and stays.
const foundingKey = "founding"

// togetherEvery is how long a node waits before it tries again to found or to open the hub: the others may not be there yet.
const togetherEvery = 500 * time.Millisecond

// lostAfter is how long something must be missing before the node believes it: it may ask while the others still start.
const lostAfter = 10 * time.Second

// foundTogether founds a hub of several nodes, or opens the one that is there. Each node does all of it: the first to write the key decides what the layout is, and to make
// a stream that another makes too is no harm. What the hub lacks once it has a layout is a loss, and is not made anew.
func (h *Hub) foundTogether(ctx context.Context, js jetstream.JetStream) (*foundation, error) {
	var complaint string
	var lost time.Time
	for {
		f, err := h.tryTogether(ctx, js)
		if err == nil || ctx.Err() != nil {
			return f, err
		}
		switch {
		case !errors.Is(err, errLost):
			lost = time.Time{}
		case lost.IsZero():
			lost = time.Now()
		case time.Since(lost) > lostAfter:
			return nil, err
		}
		if strings.Contains(err.Error(), "server tag not unique") {
			err = fmt.Errorf("%w: the nodes are in fewer than three zones: start one in another zone, or let them share one (--any-zone)", err)
		}
		if err.Error() != complaint {
			complaint = err.Error()
			h.log.Warn("hub cannot be founded or opened yet; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(togetherEvery):
		}
	}
}

func (h *Hub) tryTogether(ctx context.Context, js jetstream.JetStream) (*foundation, error) {
	layout := h.layout.Load()
	if layout == nil {
		wish := h.wish()
		if err := h.makeTogether(ctx, js, &wish); err != nil {
			return nil, err
		}
		layout = &wish
		h.compare(wish)
	}
	f := newFoundation(*layout, js)
	return f, h.openFoundation(ctx, f)
}

// makeTogether makes what is not there yet of a hub that this store knows nothing of, and tells its layout.
func (h *Hub) makeTogether(ctx context.Context, js jetstream.JetStream, l *wire.Layout) error {
	if err := h.makeBucket(ctx, js); err != nil {
		return err
	}
	keys, err := openLayoutKeys(ctx, js)
	if err != nil {
		return err
	}
	if _, err := keys.get(ctx, wire.LayoutKey, l); err == nil || !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err
	}
	if err := keys.settle(ctx, foundingKey, l); err != nil {
		return err
	}
	if err := h.allow(*l); err != nil {
		return err
	}
	h.log.Info("founding hub", "hub", l.Hub, "partitions", l.Partitions, "stream_bytes", l.StreamBytes, "replicas", h.replicas())
	for p := range l.Partitions {
		if _, err := js.CreateStream(ctx, streamConfig(*l, p, h.replicas())); err != nil {
			return fmt.Errorf("make stream %s: %w", l.Stream(p), err)
		}
	}
	// The last step: from now on a missing stream is a loss.
	return keys.settle(ctx, wire.LayoutKey, l)
}

// settle writes a layout under a key unless another node has written one there, and tells the one that stands.
func (k layoutKeys) settle(ctx context.Context, key string, l *wire.Layout) error {
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode layout: %w", err)
	}
	if _, err := k.bucket.Create(ctx, key, data); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("write %s: %w", key, err)
	}
	_, err = k.get(ctx, key, l)
	return err
}

// makeBucket makes the bucket of a hub that has none, and no streams either.
func (h *Hub) makeBucket(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.Stream(ctx, bucketName)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if _, _, _, err := wire.ParseStream(name); err == nil {
			return fmt.Errorf("bucket %s %w that has stream %s: restore the stores from backups, or found a new hub in empty directories", wire.Bucket, errLost, name)
		}
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	if _, err := js.CreateStream(ctx, bucketConfig(h.replicas())); err != nil {
		return fmt.Errorf("make bucket %s: %w", wire.Bucket, err)
	}
	return nil
}
