package wire

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	chainFetch  = 512              // headers asked for at once
	chainLinger = 30 * time.Second // how long the server keeps a consumer whose reader died

	// A consumer on another node of the hub may be told of before the way to it is known here.
	chainTries = 20
	chainPause = 10 * time.Millisecond
)

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

// Follow folds into the table every message of the subject after t.Sequence and at or below until, reading headers only. It says whether each of them
// named the one before it. If not, a purge ran meanwhile, the store lost a message, or one was sent that is no agent's: the caller must tell which. After an error
// the table holds what came before it, linked as Follow says, and can be followed on from there.
func Follow(ctx context.Context, stream jetstream.Stream, subject string, t *Table, until uint64) (linked bool, err error) {
	linked = true
	if t.Sequence >= until {
		return linked, nil
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject:     subject,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       t.Sequence + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		MemoryStorage:     true,
		Replicas:          1, // of it, not of the stream: it is read once, and made anew when its node is gone
		InactiveThreshold: chainLinger,
	})
	if err != nil {
		return linked, fmt.Errorf("read headers of %s: %w", subject, err)
	}
	defer func() {
		// Left behind, it ends by itself.
		_ = stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name)
	}()
	var got uint64 // messages, all the consumer has sent
	unheard := 0
	for pending := int(consumer.CachedInfo().NumPending); pending > 0 && t.Sequence < until; {
		batch, err := consumer.Fetch(min(pending, chainFetch), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return linked, fmt.Errorf("read headers of %s: %w", subject, err)
		}
		n, all, last, err := t.foldAll(batch, got, until)
		linked = linked && all
		if errors.Is(err, nats.ErrNoResponders) && n == 0 && unheard < chainTries {
			unheard++
			time.Sleep(chainPause)
			continue
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return linked, fmt.Errorf("read headers of %s: %w", subject, err)
		}
		if last {
			break // what is beyond was fetched, and will not come again
		}
		if n == 0 { // what was counted is purged, or did not arrive
			err := arrived(ctx, consumer, subject, got)
			return linked && err != nil, err
		}
		pending, got = pending-n, got+uint64(n)
	}
	return linked, nil
}

// errLost says that the hub has sent headers that did not arrive: the link broke, or the hub was started again. Without them bytes would look missing, or new.
var errLost = errors.New("some were lost on their way")

// arrived is nil if the consumer has sent no more than what was got, and has no more to send.
func arrived(ctx context.Context, consumer jetstream.Consumer, subject string, got uint64) error {
	info, err := consumer.Info(ctx)
	if err == nil && (info.Delivered.Consumer != got || info.NumPending > 0) {
		err = errLost
	}
	if err != nil {
		return fmt.Errorf("read headers of %s: %w", subject, err)
	}
	return nil
}

// foldAll folds what one fetch brings, up to until. It does not wait for the rest of the fetch then; last says so.
func (t *Table) foldAll(batch jetstream.MessageBatch, got, until uint64) (n int, linked, last bool, err error) {
	linked = true
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return n, linked, false, err
		}
		n++
		if meta.Sequence.Consumer != got+uint64(n) {
			return n, linked, false, errLost
		}
		sequence := meta.Sequence.Stream
		if sequence > until {
			return n, linked, true, nil
		}
		expected, ok := Expectation(msg.Headers())
		linked = linked && ok && expected == t.Sequence
		t.Fold(sequence, msg.Headers())
		if sequence == until {
			return n, linked, true, nil
		}
	}
	return n, linked, false, batch.Error()
}
