package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// readKey reads the JSON under a key from the leader of the bucket, and gives its revision. A key that does not exist leaves v as it is, at revision 0.
func readKey(ctx context.Context, bucket jetstream.KeyValue, key string, v any) (revision uint64, err error) {
	entry, err := bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err == nil {
		err = json.Unmarshal(entry.Value(), v)
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	return entry.Revision(), nil
}

// compareAndSet writes a key that stands at the revision; 0: that does not exist.
func compareAndSet(ctx context.Context, bucket jetstream.KeyValue, key string, data []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		return bucket.Create(ctx, key, data)
	}
	return bucket.Update(ctx, key, data, revision)
}
