package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/receiver/handover"
)

// errRecordMoved says that the record is not what this process read last: someone else wrote it, or the outcome of an own write is unknown.
// Either way the partition is stopped, the record read again and the archive reconciled with it (rule R2).
var errRecordMoved = errors.New("the partition's record moved")

// recordStore is the record of one partition in the hub's bucket. Only compare-and-set writes it.
type recordStore struct {
	bucket   jetstream.KeyValue
	key      string
	revision uint64 // as of the last read or write; 0: the key does not exist
	record   handover.Record
}

// read fetches the record from the stream's leader; an absent one is the zero Record.
func (s *recordStore) read(ctx context.Context) error {
	var r handover.Record
	revision, err := readKey(ctx, s.bucket, s.key, &r)
	if err != nil {
		return err
	}
	s.revision, s.record = revision, r
	return nil
}

// write replaces the record that was read last.
func (s *recordStore) write(ctx context.Context, r handover.Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.key, err)
	}
	revision, err := compareAndSet(ctx, s.bucket, s.key, data, s.revision)
	if err != nil {
		return fmt.Errorf("write %s: %w: %w", s.key, errRecordMoved, err)
	}
	s.revision, s.record = revision, r
	return nil
}
