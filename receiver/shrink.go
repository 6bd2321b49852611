package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// codeStreamFull is JetStream's refusal of a publish to a stream at its size.
const codeStreamFull = 10077

// headRoom is what a stream's limit is raised by, in bytes, while markers are written into a full one.
const headRoom = 4 << 20

// tellEvery is how often it is said that a stream is full of heads; while agents fill what is freed, it is many times a second.
const tellEvery = 10 * time.Second

// shrinkHeads makes room in a stream that is full of heads alone, which no purge may touch: with many hosts and a small stream nothing could be published any
// more. Each archived head is followed by a marker, which is the head from then on, and goes. The agent of that host finds the chain one link further at its
// next publish, and says hello.
func (k *keeper) shrinkHeads(ctx context.Context, subjects map[string]uint64) error {
	shrunk, lagging := 0, 0
	for subject := range subjects {
		host, err := wire.HostOfPart(subject)
		if err != nil {
			continue
		}
		err = k.shrinkHead(ctx, host, subject)
		if isAPI(err, codeStreamFull) {
			if err := k.widen(ctx); err != nil {
				return err
			}
			err = k.shrinkHead(ctx, host, subject)
		}
		switch {
		case errors.Is(err, errNotCovered):
			lagging++
		case err != nil:
			return err
		default:
			shrunk++
		}
	}
	if time.Since(k.told) >= tellEvery {
		k.told = time.Now()
		k.cfg.Logger.Info("stream was full of heads", "partition", k.number, "shrunk", shrunk, "lagging", lagging)
	}
	return nil
}

// errNotCovered says that the floor has not passed a host's head.
var errNotCovered = errors.New("the head is not archived yet")

// shrinkHead puts a marker behind the head of a host, unless it is one already. The expectation asks whether the table covers the head.
func (k *keeper) shrinkHead(ctx context.Context, host, subject string) error {
	table, err := k.tables.at(ctx, k.stream, subject, host, k.floor)
	if err == nil {
		err = k.tables.write(ctx, host, table)
	}
	if err != nil {
		return err
	}
	if k.markers[host] >= table.Sequence && table.Sequence != 0 {
		return nil
	}
	if table.Sequence == 0 {
		return errNotCovered
	}
	marker := wire.Batch{Writer: table.Writer, Number: table.Number, Sum: wire.Sum(nil)}
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}}
	marker.Put(msg.Header)
	ack, err := k.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(table.Sequence), jetstream.WithRetryAttempts(0))
	if isAPI(err, codeWrongLastSequence) {
		return errNotCovered
	}
	if err != nil {
		return fmt.Errorf("put a marker behind the head of %s: %w", host, err)
	}
	k.markers[host] = ack.Sequence
	return k.purgeBelow(ctx, subject, ack.Sequence)
}

// widen lets the stream take a little more than it holds. Agents may fill that as well: then each batch of theirs has made the one before it purgeable, and
// the next look widens again.
func (k *keeper) widen(ctx context.Context) error {
	info, err := k.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at the stream: %w", err)
	}
	return k.resize(ctx, max(k.layout.StreamBytes, int64(info.State.Bytes))+headRoom)
}

// resize sets the stream's limit. Lowering it never deletes: a stream that discards new messages keeps what it has (measured).
func (k *keeper) resize(ctx context.Context, limit int64) error {
	config := k.stream.CachedInfo().Config
	if config.MaxBytes == limit {
		return nil
	}
	config.MaxBytes = limit
	stream, err := k.js.UpdateStream(ctx, config)
	if err != nil {
		return fmt.Errorf("resize stream %s: %w", config.Name, err)
	}
	k.stream = stream
	return nil
}
