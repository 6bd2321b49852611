package shipper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// errRewind says that the chain is not where this agent took it to be: hello tells where it is.
var errRewind = errors.New("the chain moved")

// errTooLarge says that the hub does not take a batch of this size.
var errTooLarge = errors.New("the batch is too large for the hub")

// Error codes of JetStream that decide what happens to a batch.
const (
	codeWrongLastSequence = 10071 // the chain has another head than expected
	codeWrongStream       = 10060 // the subject is stored in another stream now
	codeInProcess         = 10164 // the server has not yet forgotten the publish before this one
	codeMessageTooLarge   = 10054
)

// publisher sends the batches of one chain, one at a time. The expectation it holds and the positions of the tailer come from the same answers:
// a Welcome, then the PubAcks of the current attempts, or the hub's word that one of these is stored (rule P2).
type publisher struct {
	js       jetstream.JetStream
	ask      func(ctx context.Context, after uint64, tried string, timeout time.Duration) (wire.Welcome, error)
	subject  string
	stream   string
	expected uint64    // sequence of the chain's head
	patience *patience // of the first attempt, doubling
	retry    func() *backoff
	log      *slog.Logger
	metrics  *metrics
}

// acknowledgement tells that the hub has a batch.
type acknowledgement struct {
	batch    *batch
	sequence uint64
	ready    bool // the batch was encoded before the hub was free to take it
}

// run publishes what comes, in order, until ctx ends or the chain moved.
func (p *publisher) run(ctx context.Context, in <-chan *batch, out chan<- acknowledgement) error {
	for {
		b, ready, err := next(ctx, in)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := p.publish(ctx, b); err != nil {
			return err
		}
		p.metrics.published(b, time.Since(start))
		select {
		case out <- acknowledgement{b, p.expected, ready}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next waits for a batch and then for its encoder. It tells whether there was nothing to wait for.
func next(ctx context.Context, in <-chan *batch) (b *batch, ready bool, err error) {
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case b = <-in:
	}
	select {
	case <-b.encoded:
		return b, true, nil
	default:
	}
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-b.encoded:
		return b, false, nil
	}
}

// publish tries until the hub has the batch: the same bytes with the same expectation each time, so that they are stored once whatever became of the
// attempts before. When one of those was stored and its answer lost, a later attempt is refused; if the batch is the head, shipping goes on behind it.
func (p *publisher) publish(ctx context.Context, b *batch) error {
	wait, timeout := p.retry(), p.patience.now
	for attempt := 1; ; attempt++ {
		start := time.Now()
		sequence, err := p.attempt(ctx, b, timeout)
		if err == nil {
			p.patience.answered(time.Since(start))
			p.expected = sequence
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if verdict := decide(err); verdict != nil {
			if attempt > 1 && isAPI(err, codeWrongLastSequence) {
				p.patience.impatient()
				if p.stored(ctx, b, timeout) {
					return nil
				}
			}
			return fmt.Errorf("publish batch %d expecting %d in %s: %w: %w", b.header.Number, p.expected, p.stream, verdict, err)
		}
		pause := wait
		if isAPI(err, codeInProcess) {
			pause = newBackoff(time.Millisecond, time.Millisecond)
		} else if attempt == 1 || attempt%20 == 0 {
			p.log.Warn("hub does not take the batch; trying on", "stream", p.stream, "batch", b.header.Number, "attempt", attempt, "err", err)
		}
		timeout = min(2*timeout, p.patience.most)
		p.metrics.retried()
		if err := pause.sleep(ctx); err != nil {
			return err
		}
	}
}

// attempt publishes once, with a message of its own: the client writes its options into the headers, and an old expectation must not stay there.
func (p *publisher) attempt(ctx context.Context, b *batch, timeout time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	msg := &nats.Msg{Subject: p.subject, Header: nats.Header{}, Data: b.payload}
	b.header.Put(msg.Header)
	ack, err := p.js.PublishMsg(ctx, msg,
		jetstream.WithExpectLastSequencePerSubject(p.expected),
		jetstream.WithExpectStream(p.stream),
		jetstream.WithRetryAttempts(0)) // the client's own tries would put batches out of order
	if err != nil {
		return 0, err
	}
	if ack.Stream != p.stream || ack.Sequence <= p.expected {
		return 0, fmt.Errorf("%w: acknowledged as %d of %s", errRewind, ack.Sequence, ack.Stream)
	}
	return ack.Sequence, nil
}

// stored asks whether the batch is the chain's head, and goes on behind it if so. Hello would tell that as well, but it reads the table, too, whose leader may have ended with the node that did not
// answer; and the files would be read again.
func (p *publisher) stored(ctx context.Context, b *batch, timeout time.Duration) bool {
	header := nats.Header{}
	b.header.Put(header)
	w, err := p.ask(ctx, p.expected, wire.Fingerprint(header), timeout)
	if err != nil || !w.Stored || w.Stream != p.stream || w.Head <= p.expected {
		return false
	}
	p.log.Info("the batch had been stored; its acknowledgement was lost", "stream", p.stream, "batch", b.header.Number)
	p.expected = w.Head
	return true
}

// decide says what a failed attempt means for the batch: nil, try the same again.
func decide(err error) error {
	switch {
	case errors.Is(err, errRewind), isAPI(err, codeWrongLastSequence), isAPI(err, codeWrongStream):
		return errRewind
	case errors.Is(err, nats.ErrMaxPayload), isAPI(err, codeMessageTooLarge):
		return errTooLarge
	}
	return nil
}

func isAPI(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
