package wire

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	chainFetch  = 512              // headers asked for at once
	chainLinger = 30 * time.Second // how long the server keeps a consumer whose reader died
)

// ErrBroken says that batches of a chain do not link up by their expectations: a purge ran while they were read, or batches are gone.
var ErrBroken = errors.New("chain is broken")

// Expectation is the sequence of the predecessor that a stored batch names.
func Expectation(h map[string][]string) (uint64, bool) {
	v := h[HeaderExpected]
	if len(v) == 0 {
		return 0, false
	}
	seq, err := strconv.ParseUint(v[0], 10, 64)
	return seq, err == nil
}

// Fold adds one stored message to the table. What is no batch holds nothing, but it is a link of the chain like any other.
func (t *Table) Fold(sequence uint64, h map[string][]string) {
	b, err := ParseBatch(h)
	if err != nil {
		t.Sequence = sequence
		return
	}
	t.Apply(sequence, &b)
}

// Follow folds into the table every message of the subject after t.Sequence and at or below until, reading headers only. Its error wraps
// ErrBroken when they do not link up.
func Follow(ctx context.Context, stream jetstream.Stream, subject string, t *Table, until uint64) error {
	if t.Sequence >= until {
		return nil
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject:     subject,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       t.Sequence + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		MemoryStorage:     true,
		InactiveThreshold: chainLinger,
	})
	if err != nil {
		return fmt.Errorf("read headers of %s: %w", subject, err)
	}
	defer func() {
		// Left behind, it ends by itself.
		_ = stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name)
	}()
	pending := consumer.CachedInfo().NumPending
	for pending > 0 {
		batch, err := consumer.Fetch(int(min(pending, chainFetch)), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return fmt.Errorf("read headers of %s: %w", subject, err)
		}
		for msg := range batch.Messages() {
			more, err := t.link(subject, msg, until)
			if err != nil || !more {
				return err
			}
			pending--
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return fmt.Errorf("read headers of %s: %w", subject, err)
		}
	}
	return nil
}

// link folds the next message of the chain, unless it lies beyond until.
func (t *Table) link(subject string, msg jetstream.Msg, until uint64) (more bool, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return false, fmt.Errorf("read headers of %s: %w", subject, err)
	}
	sequence := meta.Sequence.Stream
	if sequence > until {
		return false, nil
	}
	if expected, ok := Expectation(msg.Headers()); ok && expected != t.Sequence {
		return false, fmt.Errorf("%w: batch %d of %s does not follow %d", ErrBroken, sequence, subject, t.Sequence)
	}
	t.Fold(sequence, msg.Headers())
	return true, nil
}
