package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// foundation is what a founded hub stands on.
type foundation struct {
	layout  wire.Layout
	js      jetstream.JetStream
	bucket  jetstream.Stream   // the stream below the key-value bucket, read through its leader
	streams []jetstream.Stream // by partition
	created []time.Time        // of each stream
}

// found makes the bucket and the streams of a new hub, or checks those of an old one. The layout's key is written last: while it is absent,
// the hub is being founded and what is missing may be made. Once it is there, a missing stream is a loss that
// only an operator may accept: made anew it would count from 1 again, below every floor and expectation that exists.
func found(ctx context.Context, nc *nats.Conn, l wire.Layout, log *slog.Logger) (*foundation, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	f := &foundation{layout: l, js: js}
	founded, err := f.founded(ctx)
	if err != nil {
		return nil, err
	}
	if !founded {
		log.Info("founding hub", "hub", l.Hub, "partitions", l.Partitions, "stream_bytes", l.StreamBytes)
		if err := f.make(ctx); err != nil {
			return nil, err
		}
	}
	return f, f.open(ctx)
}

// founded reads the layout out of the bucket.
func (f *foundation) founded(ctx context.Context) (bool, error) {
	bucket, err := f.js.KeyValue(ctx, wire.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	entry, err := bucket.Get(ctx, wire.LayoutKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read layout: %w", err)
	}
	var l wire.Layout
	if err := json.Unmarshal(entry.Value(), &l); err != nil {
		return false, fmt.Errorf("read layout: %w", err)
	}
	if l != f.layout {
		return false, fmt.Errorf("layout in bucket %s is %+v, layout.json of the hub store says %+v: they belong to different hubs", wire.Bucket, l, f.layout)
	}
	return true, nil
}

// make is safe to repeat after a kill at any step: it makes the same things by the same names, and none of them can hold a
// batch yet, since subjects are mapped only after the layout stands.
func (f *foundation) make(ctx context.Context) error {
	if _, err := f.ensure(ctx, bucketConfig()); err != nil {
		return err
	}
	for p := range f.layout.Partitions {
		stream, err := f.ensure(ctx, streamConfig(f.layout, p))
		if err != nil {
			return err
		}
		if last := stream.CachedInfo().State.LastSeq; last != 0 {
			return fmt.Errorf("found hub: stream %s holds batches up to %d, but bucket %s has lost the layout: restore the store from a backup", f.layout.Stream(p), last, wire.Bucket)
		}
	}
	bucket, err := f.js.KeyValue(ctx, wire.Bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	data, err := json.Marshal(f.layout)
	if err != nil {
		return fmt.Errorf("encode layout: %w", err)
	}
	if _, err := bucket.Create(ctx, wire.LayoutKey, data); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	return nil
}

// ensure makes a stream that is not there. It asks first: the server reserves the space of a stream it is to make before it sees that it has it.
func (f *foundation) ensure(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := f.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = f.js.CreateStream(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", cfg.Name, err)
	}
	return stream, nil
}

// open finds the bucket and every stream.
func (f *foundation) open(ctx context.Context) (err error) {
	if f.bucket, err = f.js.Stream(ctx, bucketConfig().Name); err != nil {
		return fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	for p := range f.layout.Partitions {
		stream, err := f.openStream(ctx, p)
		if err != nil {
			return err
		}
		f.streams = append(f.streams, stream)
		f.created = append(f.created, stream.CachedInfo().Created)
	}
	return nil
}

// openStream also gives the stream its config again: who drains a full stream raises its limit for a while, and may have died in
// between. That deletes nothing, even when the stream holds more.
func (f *foundation) openStream(ctx context.Context, p int) (jetstream.Stream, error) {
	name := f.layout.Stream(p)
	_, err := f.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("stream %s is gone from a founded hub, and what it held with it: restore the store from a backup, or found a new hub in an empty directory", name)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	stream, err := f.js.UpdateStream(ctx, streamConfig(f.layout, p))
	if err != nil {
		return nil, fmt.Errorf("shape stream %s: %w", name, err)
	}
	return stream, nil
}

// partition is the stream of a host, and when it was made.
func (f *foundation) partition(host string) (int, jetstream.Stream, time.Time) {
	p := wire.Partition(host, f.layout.Partitions)
	return p, f.streams[p], f.created[p]
}

// streamConfig is the stream of a partition. It is full rather than forgetful (DiscardNew, no MaxAge), answers through its leader only
// (no AllowDirect), and takes no header of an agent for a command: roll-up, TTL, schedules, counters and atomic batches are off.
func streamConfig(l wire.Layout, partition int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        l.Stream(partition),
		Description: fmt.Sprintf("logdrive: batches of partition %d", partition),
		Subjects:    []string{wire.PartSubjects(l.Number, partition)},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    1,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    l.StreamBytes,
		MaxMsgs:     -1,
		MaxMsgSize:  wire.MaxPayload + maxHeaders,
		Duplicates:  100 * time.Millisecond, // the least; a Nats-Msg-Id could be forged by another host, expectations cannot
	}
}

// bucketConfig is the stream below the bucket, made by hand because nats.go would let followers answer reads: a stale record or
// table would not lose anything, but it would make its reader stop for no reason.
func bucketConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              "KV_" + wire.Bucket,
		Description:       "logdrive: layout, records and tables",
		Subjects:          []string{"$KV." + wire.Bucket + ".>"},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Replicas:          1,
		Discard:           jetstream.DiscardNew,
		MaxBytes:          bucketBytes,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: 1,
		MaxMsgSize:        wire.MaxPayload,
		Duplicates:        100 * time.Millisecond,
		AllowRollup:       true,
		DenyDelete:        true,
	}
}
