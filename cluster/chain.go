package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// chainTries is how often a chain is read again because a purge ran meanwhile.
const chainTries = 5

// errBroken says that the batches after the table do not link up because a purge ran between the reading of the two.
var errBroken = errors.New("chain moved while it was read")

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
	stored   bool       // that is the batch which the asker tried
	archived uint64     // as of which the table was written
	table    wire.Table // up to head; empty when the asker knows it
	writer   string     // of the last batch, as far as known; where the layout was changed since, of the last one before
}

// standing is what an agent asks for.
func (c *chain) standing(ctx context.Context, asked wire.Hello) (state, error) {
	if asked.Tried != "" {
		return c.tried(ctx, asked.After, asked.Tried)
	}
	return c.read(ctx, asked.After)
}

// tried looks whether the head is a certain batch. The table is not needed for that: its leader may be gone with the node whose acknowledgement the agent misses.
func (c *chain) tried(ctx context.Context, after uint64, fingerprint string) (state, error) {
	head, err := c.head(ctx)
	if err != nil {
		return state{}, err
	}
	expected, ok := wire.Expectation(head.header)
	stored := ok && expected == after && wire.Fingerprint(head.header) == fingerprint
	return state{head: head.sequence, stored: stored, writer: head.header.Get(wire.HeaderWriter)}, nil
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
	if head.sequence == 0 {
		st.writer = st.table.Writer
	}
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
		return t, c.overtaken(ctx, t.Sequence)
	}
	if expected, ok := wire.Expectation(head.header); ok && expected == t.Sequence {
		t.Fold(head.sequence, head.header)
		return t, nil
	}
	return c.follow(ctx, t, head.sequence)
}

// follow reads the headers after the table, or after what an earlier hello came to: however long the chain is, each goes on where the one before ran out
// of time.
func (c *chain) follow(ctx context.Context, t wire.Table, head uint64) (wire.Table, error) {
	key := chainKey{c.name(), c.created, c.host}
	p, err := c.f.following.begin(key, t, head)
	if err != nil {
		return t, err
	}
	begun := time.Now()
	linked, err := wire.Follow(ctx, c.stream, c.subject, &p.table, head)
	p.linked = p.linked && linked
	c.f.following.end(key, p, p.table.Sequence > t.Sequence && (err != nil || time.Since(begun) > followKeep))
	switch {
	case err != nil:
		return t, fmt.Errorf("hub has read the chain of %s up to %d of %d, it goes on there when asked again: %w", c.host, p.table.Sequence, head, err)
	case p.table.Sequence != head:
		return t, c.broken(head, p.table.Sequence)
	case p.linked:
		return p.table, nil
	}
	return p.table, c.unchanged(ctx, p.base)
}

// overtaken tells a table that was written after the head was read from a stream that ends below what it had: a head that is read after the table cannot be older.
func (c *chain) overtaken(ctx context.Context, archived uint64) error {
	head, err := c.head(ctx)
	if err != nil {
		return err
	}
	if head.sequence >= archived {
		return c.broken(head.sequence, archived)
	}
	return fmt.Errorf("%w: batch %d of %s was archived, the last it holds is %d", errWentBack, archived, c.subject, head.sequence)
}

// unchanged proves that nothing after the table was purged while it was read: whoever purges has written a newer table before. So a
// link that does not fit is a message that no agent sent, or a hole: the store lost a batch, as the server skips a record whose sum is wrong. The receiver comes
// upon the same hole and its ledger names the bytes; the agent goes on behind it, for it must not wait for ever.
func (c *chain) unchanged(ctx context.Context, from uint64) error {
	t, err := c.table(ctx)
	if err == nil && t.Sequence != from {
		err = c.broken(t.Sequence, from)
	}
	return err
}

func (c *chain) broken(seq, table uint64) error {
	return fmt.Errorf("%w: batch %d of %s does not follow %d", errBroken, seq, c.subject, table)
}
