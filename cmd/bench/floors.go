package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

// floors follows the records of all partitions: who owns each, and up to where it is durable.
type floors struct {
	bucket jetstream.KeyValue
	layout wire.Layout

	mu    sync.Mutex
	moves map[string][]move // by the record's key
}

// move is a floor that its owner has moved.
type move struct {
	at    time.Time
	owner string
}

func newFloors(ctx context.Context, js jetstream.JetStream) (*floors, error) {
	bucket, err := js.KeyValue(ctx, wire.Bucket)
	if err != nil {
		return nil, fmt.Errorf("watch records: %w", err)
	}
	f := &floors{bucket: bucket, moves: map[string][]move{}}
	entry, err := bucket.Get(ctx, wire.LayoutKey)
	if err == nil {
		err = json.Unmarshal(entry.Value(), &f.layout)
	}
	if err != nil {
		return nil, fmt.Errorf("watch records: %w", err)
	}
	return f, nil
}

// run follows until ctx ends.
func (f *floors) run(ctx context.Context) error {
	watch, err := f.bucket.Watch(ctx, fmt.Sprintf("record.%d.*", f.layout.Number))
	if err != nil {
		return fmt.Errorf("watch records: %w", err)
	}
	defer watch.Stop()
	last := map[string]uint64{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watch.Updates():
			if !open {
				return errors.New("watch records: the watch has ended")
			}
			if entry == nil {
				continue
			}
			var r handover.Record
			if err := json.Unmarshal(entry.Value(), &r); err != nil {
				return fmt.Errorf("read record %s: %w", entry.Key(), err)
			}
			if r.Floor > last[entry.Key()] {
				last[entry.Key()] = r.Floor
				f.note(entry.Key(), move{time.Now(), r.Owner})
			}
		}
	}
}

func (f *floors) note(key string, m move) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moves[key] = append(f.moves[key], m)
}

// first is when a partition's floor was first moved after the given time by another owner than this one; zero if it was not yet.
func (f *floors) first(partition int, after time.Time, except string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.moves[wire.RecordKey(f.layout.Number, partition)] {
		if m.owner != except && m.at.After(after) {
			return m.at
		}
	}
	return time.Time{}
}
