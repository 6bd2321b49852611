package cluster_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// lossy is a stream whose consumers send their first messages, or all, to somebody else: what a link does that breaks at that moment.
type lossy struct {
	jetstream.Stream
	lost int
}

func (s lossy) CreateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := s.Stream.CreateConsumer(ctx, cfg)
	if err != nil || s.lost == 0 {
		return consumer, err
	}
	batch, err := consumer.Fetch(s.lost)
	if err != nil {
		return nil, err
	}
	for range batch.Messages() {
	}
	return consumer, batch.Error()
}

// Headers that are lost on their way are not taken for purged ones: a table without them would be an old one.
func TestFollowNoticesLostHeaders(t *testing.T) {
	s := newStand(t)
	var want wire.Table
	for n := range uint64(3) {
		s.line(t, n, &want)
	}
	subject := wire.PartSubject(1, 0, "web1")
	for lost := range 4 {
		if lost == 3 && testing.Short() {
			continue // waits for what does not come
		}
		var table wire.Table
		linked, err := wire.Follow(t.Context(), lossy{s.stream, lost}, subject, &table, 3)
		if whole := err == nil && linked && table.Sequence == 3; whole != (lost == 0) || lost > 0 && err == nil {
			t.Errorf("%d lost: linked %t as of %d, %v", lost, linked, table.Sequence, err)
		}
	}
}
