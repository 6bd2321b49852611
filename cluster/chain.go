package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

const (
	chainTries  = 5                // how often a chain is read again because a purge ran meanwhile
	chainFetch  = 512              // headers asked for at once
	chainLinger = 30 * time.Second // how long the server keeps a consumer whose reader died
)

// errBroken says that the batches after the table do not link up: a purge ran between the reading of the two, or batches are gone.
var errBroken = errors.New("chain is broken")

// errWentBack says that the stream ends before what its own table says was archived.
var errWentBack = errors.New("the stream lost its end")

// chain reads what the hub holds of one host.
type chain struct {
	f       *foundation
	host    string
	stream  jetstream.Stream
	created time.Time
	subject string
}

func (f *foundation) chain(host string) *chain {
	p, stream, created := f.partition(host)
	return &chain{f: f, host: host, stream: stream, created: created, subject: wire.PartSubject(f.layout.Number, p, host)}
}

func (c *chain) name() string { return c.stream.CachedInfo().Config.Name }

// state is a host's chain at one moment.
type state struct {
	head     uint64     // sequence of the last batch; 0: none
	archived uint64     // as of which the table was written
	table    wire.Table // up to head; empty when the asker knows it
	writer   string     // of the last batch, as far as known
}

// read brings the host's table up to the head. With after at the head, there is nothing to tell but that.
func (c *chain) read(ctx context.Context, after uint64) (state, error) {
	var err error
	for range chainTries {
		var st state
		if st, err = c.once(ctx, after); !errors.Is(err, errBroken) {
			return st, err
		}
	}
	return state{}, err
}

// once reads the head first and the table second: a table only grows, and it is written before anything it covers is purged, so
// that what lies between the two is in the stream, or the next table is there already and the links break.
func (c *chain) once(ctx context.Context, after uint64) (state, error) {
	head, err := c.head(ctx)
	if err != nil {
		return state{}, err
	}
	table, err := c.table(ctx)
	if err != nil {
		return state{}, err
	}
	st := state{head: head.sequence, archived: table.Sequence, writer: head.header.Get(wire.HeaderWriter)}
	if head.sequence != 0 && after == head.sequence {
		return st, nil
	}
	st.table, err = c.extend(ctx, table, head)
	return st, err
}

// table is the one in the bucket, or an empty one.
func (c *chain) table(ctx context.Context) (wire.Table, error) {
	key := wire.TableKey(c.name(), c.host)
	msg, err := c.f.bucket.GetLastMsgForSubject(ctx, keySubject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) || (err == nil && msg.Header.Get("KV-Operation") != "") {
		return wire.Table{}, nil
	}
	if err != nil {
		return wire.Table{}, fmt.Errorf("read %s: %w", key, err)
	}
	t, err := wire.DecodeTable(msg.Data)
	if err != nil {
		return wire.Table{}, fmt.Errorf("read %s: %w", key, err)
	}
	return t, nil
}

// extend folds the batches after the table into it, up to head.
func (c *chain) extend(ctx context.Context, t wire.Table, head head) (wire.Table, error) {
	switch {
	case t.Sequence == head.sequence:
		return t, nil
	case t.Sequence > head.sequence:
		return t, fmt.Errorf("%w: batch %d of %s was archived, the last it holds is %d", errWentBack, t.Sequence, c.subject, head.sequence)
	}
	if expected, ok := expectation(head.header); ok && expected == t.Sequence {
		fold(&t, head.sequence, head.header)
		return t, nil
	}
	from := t.Sequence
	linked, err := c.follow(ctx, &t, head.sequence)
	if err != nil || linked {
		return t, err
	}
	return t, c.unchanged(ctx, from)
}

// unchanged proves that nothing after the table was purged while it was read: whoever purges has written a newer table before. It is
// for chains with a message that names no predecessor; no agent sends one.
func (c *chain) unchanged(ctx context.Context, from uint64) error {
	t, err := c.table(ctx)
	if err == nil && t.Sequence != from {
		err = c.broken(t.Sequence, from)
	}
	return err
}

// follow reads the headers between the table and the head through a consumer that lives only for that. It says whether each message
// named the one before it.
func (c *chain) follow(ctx context.Context, t *wire.Table, head uint64) (linked bool, err error) {
	consumer, err := c.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject:     c.subject,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       t.Sequence + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		MemoryStorage:     true,
		InactiveThreshold: chainLinger,
	})
	if err != nil {
		return false, fmt.Errorf("read headers of %s: %w", c.subject, err)
	}
	defer c.forget(ctx, consumer)
	linked = true
	for t.Sequence < head {
		batch, err := consumer.Fetch(chainFetch, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return false, fmt.Errorf("read headers of %s: %w", c.subject, err)
		}
		all, err := c.foldAll(t, head, batch)
		if err != nil {
			return false, err
		}
		linked = linked && all
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("read headers of %s: %w", c.subject, err)
		}
	}
	return linked, nil
}

// foldAll folds what one fetch brings. It does not wait for the rest of a fetch when the head is there.
func (c *chain) foldAll(t *wire.Table, head uint64, batch jetstream.MessageBatch) (linked bool, err error) {
	linked = true
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return false, fmt.Errorf("read headers of %s: %w", c.subject, err)
		}
		seq := meta.Sequence.Stream
		expected, ok := expectation(msg.Headers())
		if ok && expected != t.Sequence {
			return false, c.broken(seq, t.Sequence)
		}
		linked = linked && ok
		fold(t, seq, msg.Headers())
		if seq >= head {
			return linked, nil
		}
	}
	return linked, batch.Error()
}

func (c *chain) forget(ctx context.Context, consumer jetstream.Consumer) {
	// Left behind, it ends by itself.
	_ = c.stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name)
}

func (c *chain) broken(seq, table uint64) error {
	return fmt.Errorf("%w: batch %d of %s does not follow %d", errBroken, seq, c.subject, table)
}

// fold adds one stored message to the table. What is no batch holds nothing, but it is a link of the chain like any other.
func fold(t *wire.Table, seq uint64, h nats.Header) {
	b, err := wire.ParseBatch(h)
	if err != nil {
		t.Sequence = seq
		return
	}
	t.Apply(seq, &b)
}

// expectation is the sequence of the predecessor that a stored batch names.
func expectation(h nats.Header) (uint64, bool) {
	seq, err := strconv.ParseUint(h.Get(wire.HeaderExpected), 10, 64)
	return seq, err == nil
}
