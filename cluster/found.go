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

// foundation is what a founded hub stands on.
type foundation struct {
	layout  wire.Layout
	js      jetstream.JetStream
	bucket  jetstream.Stream   // the stream below the key-value bucket, read through its leader
	streams []jetstream.Stream // by partition
	created []time.Time        // of each stream
	keys    layoutKeys

	following *following // chains that hello is reading
}

func newFoundation(l wire.Layout, js jetstream.JetStream) *foundation {
	return &foundation{layout: l, js: js, following: newFollowing()}
}

// make makes the bucket and the streams of a new hub, and writes down the layout for receivers.
func (f *foundation) make(ctx context.Context) error {
	bucket, err := f.js.CreateStream(ctx, bucketConfig(1))
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", wire.Bucket, err)
	}
	for p := range f.layout.Partitions {
		if _, err := f.js.CreateStream(ctx, streamConfig(f.layout, p, 1)); err != nil {
			return fmt.Errorf("make stream %s: %w", f.layout.Stream(p), err)
		}
	}
	data, err := json.Marshal(f.layout)
	if err != nil {
		return fmt.Errorf("encode layout: %w", err)
	}
	_, err = f.js.Publish(ctx, keySubject(wire.LayoutKey), data, jetstream.WithExpectStream(bucket.CachedInfo().Config.Name))
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	return nil
}

// open finds the bucket, the layout in it, which may be a later one, and every stream. What is missing from a founded hub is a loss that only an operator may
// accept: made anew, a stream would count from 1 again, below every floor and expectation that exists.
func (f *foundation) open(ctx context.Context) (err error) {
	if f.bucket, err = f.stream(ctx, bucketName); err != nil {
		return err
	}
	if err := f.readLayout(ctx); err != nil {
		return err
	}
	for p := range f.layout.Partitions {
		stream, err := f.stream(ctx, f.layout.Stream(p))
		if err == nil {
			stream, err = f.shape(ctx, stream)
		}
		if err != nil {
			return err
		}
		f.streams = append(f.streams, stream)
		f.created = append(f.created, stream.CachedInfo().Created)
	}
	f.keys, err = openLayoutKeys(ctx, f.js)
	return err
}

// readLayout proves that the store's layout and its streams are of one hub, and takes over a layout that came later.
func (f *foundation) readLayout(ctx context.Context) error {
	msg, err := f.bucket.GetLastMsgForSubject(ctx, keySubject(wire.LayoutKey))
	if err != nil {
		return fmt.Errorf("read layout from bucket %s: %w", wire.Bucket, err)
	}
	var l wire.Layout
	if err := json.Unmarshal(msg.Data, &l); err != nil {
		return fmt.Errorf("read layout from bucket %s: %w", wire.Bucket, err)
	}
	if l.Hub == f.layout.Hub && l.Number > f.layout.Number {
		f.layout = l
	}
	if l != f.layout {
		return fmt.Errorf("layout in bucket %s is %+v, %s of the hub store says %+v: they belong to different hubs", wire.Bucket, l, layoutFile, f.layout)
	}
	return nil
}

// errLost says that something is missing which is made once only.
var errLost = errors.New("is gone from a founded hub")

func (f *foundation) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := f.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("stream %s %w, and what it held with it: restore the store from a backup, or found a new hub in an empty directory", name, errLost)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	return stream, nil
}

// shape gives a stream its size again: who drains a full one raises its limit for a while, and may have died in between. Lowering it
// deletes nothing, even when the stream holds more.
func (f *foundation) shape(ctx context.Context, stream jetstream.Stream) (jetstream.Stream, error) {
	cfg := stream.CachedInfo().Config
	if cfg.MaxBytes == f.layout.StreamBytes {
		return stream, nil
	}
	cfg.MaxBytes = f.layout.StreamBytes
	shaped, err := f.js.UpdateStream(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("shape stream %s: %w", cfg.Name, err)
	}
	return shaped, nil
}

// hosts lists those of a partition: whoever has a batch there, which is never purged to the last one (rule H1), and whoever has a table, for a host that
// has sent nothing since the layout was made has that alone. What no agent has sent, no chain goes on from.
func (f *foundation) hosts(ctx context.Context, p int) (map[string]bool, error) {
	batches, err := subjects(ctx, f.streams[p], wire.PartSubjects(f.layout.Number, p))
	if err != nil {
		return nil, err
	}
	tables, err := subjects(ctx, f.bucket, keySubject(wire.TableKeys(f.layout.Stream(p))))
	if err != nil {
		return nil, err
	}
	hosts := map[string]bool{}
	for subject := range batches {
		if host, err := wire.HostOfPart(subject); err == nil && wire.Partition(host, f.layout.Partitions) == p {
			hosts[host] = true
		}
	}
	for subject := range tables {
		if host, err := wire.HostOfTable(strings.TrimPrefix(subject, keySubject(""))); err == nil {
			hosts[host] = true
		}
	}
	return hosts, nil
}

// subjects counts the messages of a stream by subject.
func subjects(ctx context.Context, stream jetstream.Stream, filter string) (map[string]uint64, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, fmt.Errorf("list %s of stream %s: %w", filter, stream.CachedInfo().Config.Name, err)
	}
	return info.State.Subjects, nil
}

// partition is the stream of a host, and when it was made.
func (f *foundation) partition(host string) (int, jetstream.Stream, time.Time) {
	p := wire.Partition(host, f.layout.Partitions)
	return p, f.streams[p], f.created[p]
}

// streamConfig is the stream of a partition. It is full rather than forgetful (DiscardNew, no MaxAge), answers through its leader only
// (no AllowDirect), and takes no header of an agent for a command: roll-up, TTL, schedules, counters and atomic batches are off.
func streamConfig(l wire.Layout, partition, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        l.Stream(partition),
		Description: fmt.Sprintf("logdrive: batches of partition %d", partition),
		Subjects:    []string{wire.PartSubjects(l.Number, partition)},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    l.StreamBytes,
		MaxMsgs:     -1,
		MaxMsgSize:  wire.MaxPayload + maxHeaders,
		Duplicates:  100 * time.Millisecond, // the least; a Nats-Msg-Id could be forged by another host, expectations cannot
	}
}

// bucketName is the stream below the bucket.
const bucketName = "KV_" + wire.Bucket

// bucketConfig is the stream below the bucket, made by hand because nats.go would let followers answer reads: a stale record or
// table would not lose anything, but it would make its reader stop for no reason.
func bucketConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              bucketName,
		Description:       "logdrive: layout, records and tables",
		Subjects:          []string{"$KV." + wire.Bucket + ".>"},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Replicas:          replicas,
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

// keySubject is where a key of the bucket is stored.
func keySubject(key string) string { return "$KV." + wire.Bucket + "." + key }
