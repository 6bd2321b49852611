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
	entry, err := s.bucket.Get(ctx, s.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		s.revision, s.record = 0, handover.Record{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", s.key, err)
	}
	var r handover.Record
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return fmt.Errorf("read %s: %w", s.key, err)
	}
	s.revision, s.record = entry.Revision(), r
	return nil
}

// write replaces the record that was read last.
func (s *recordStore) write(ctx context.Context, r handover.Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.key, err)
	}
	var revision uint64
	if s.revision == 0 {
		revision, err = s.bucket.Create(ctx, s.key, data)
	} else {
		revision, err = s.bucket.Update(ctx, s.key, data, s.revision)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w: %w", s.key, errRecordMoved, err)
	}
	s.revision, s.record = revision, r
	return nil
}
