package receiver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Members lists the receivers that have a lease now, by the ids of their archives. js is of the hub's account for receivers.
func Members(ctx context.Context, js jetstream.JetStream) ([]Member, error) {
	bucket, err := js.KeyValue(ctx, leaseBucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", leaseBucket, err)
	}
	keys, err := bucket.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	defer func() { _ = keys.Stop() }()
	var all []Member
	for key := range keys.Keys() {
		entry, err := bucket.Get(ctx, key)
		if key == coordinatorKey || errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		var m Member
		if err == nil {
			err = json.Unmarshal(entry.Value(), &m)
		}
		if err != nil {
			return nil, fmt.Errorf("read member %s: %w", key, err)
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// Drain asks the coordinator to move every partition away from the receiver of an archive, and to give it none until it is undrained. It writes also where the list that it reads says so already:
// a leader of the bucket that was frozen reads from its old list for a while, and only a write that is taken proves that the list was the last.
func Drain(ctx context.Context, js jetstream.JetStream, archive string, drained bool) error {
	bucket, err := js.KeyValue(ctx, wire.Bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	before, revision, err := readDrains(ctx, bucket)
	if err != nil {
		return err
	}
	now := slices.DeleteFunc(append([]string{}, before...), func(id string) bool { return id == archive })
	if drained {
		now = append(now, archive)
	}
	data, err := json.Marshal(now)
	if err == nil {
		_, err = compareAndSet(ctx, bucket, wire.DrainsKey, data, revision)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", wire.DrainsKey, err)
	}
	return nil
}

// readDrains lists the archives whose receivers shall own nothing, with the revision of the list; 0 when there is none.
func readDrains(ctx context.Context, bucket jetstream.KeyValue) (archives []string, revision uint64, err error) {
	revision, err = readKey(ctx, bucket, wire.DrainsKey, &archives)
	return archives, revision, err
}
