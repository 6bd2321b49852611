package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
)

// errOutOfOrder says that the consumer did not deliver the next message of the stream. What was delivered and not committed is forgotten, and a new
// consumer begins behind the committed sequence.
var errOutOfOrder = errors.New("messages out of order")

// pullMessages is how many messages are asked for at once. The client makes room for as many in advance, by partition.
const pullMessages = 256

// The leader of a consumer says that it is there every heartbeat; after two without a word the consumer is made anew. It may be well and still have nothing more to deliver, though
// the stream goes on: what it delivered last was lost on the way, with a connection or a node that broke. So when nothing has come for quietAfter it is asked, and
// again recheckAfter later.
const (
	heartbeat    = 2 * time.Second
	quietAfter   = 5 * time.Second
	recheckAfter = time.Second
)

// codeNoMessage is JetStream's answer for a sequence that it does not hold.
const codeNoMessage = 10037

// delivery is one message on its way from the stream to the archive.
type delivery struct {
	sequence uint64
	subject  string
	reply    string    // to Ack it
	stored   time.Time // when the hub had it
	host     string
	header   nats.Header
	payload  []byte
	batch    *wire.Batch // nil: the headers do not parse
	raw      []byte
	fault    error // why it must be quarantined, nil if it is sound
}

// message is the delivery as the archive takes it.
func (d *delivery) message() archive.Message {
	m := archive.Message{Host: d.host, Sequence: d.sequence, Batch: *d.batch, Raw: d.raw, Header: d.header, Payload: d.payload}
	m.Expected, m.HasExpected = wire.Expectation(d.header)
	return m
}

// fetcher reads the stream of a partition in strict order through a durable consumer. The consumer delivers and reports; it decides nothing: what is archived is in the record.
type fetcher struct {
	stream  jetstream.Stream
	name    string // of the consumer
	sent    uint64 // messages that it has delivered
	after   uint64 // the sequence delivered last
	healTo  uint64 // up to here messages are read again, and may have been purged; nothing behind the first one at or above it is wanted. 0: read on
	pull    int    // bytes asked for ahead
	decoder *wire.Decoder
	free    chan []byte // buffers of payloads that were appended
}

// run delivers until ctx ends or the order breaks.
func (f *fetcher) run(ctx context.Context, out chan<- *delivery) error {
	consumer, err := f.open(ctx)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, f.pull), jetstream.PullExpiry(30*time.Second), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("read consumer %s: %w", f.name, err)
	}
	defer messages.Stop()
	for {
		msg, err := f.next(ctx, messages, consumer)
		if err != nil {
			return fmt.Errorf("read consumer %s: %w", f.name, err)
		}
		d, err := f.take(ctx, msg)
		if err != nil {
			return err
		}
		select {
		case out <- d:
		case <-ctx.Done():
			return ctx.Err()
		}
		if f.healTo != 0 && d.sequence >= f.healTo {
			return nil
		}
	}
}

// next waits for a message. It fails if the consumer has delivered one that never came: without this the last batch before a silence would stay out of the archive until the next one.
func (f *fetcher) next(ctx context.Context, messages jetstream.MessagesContext, consumer jetstream.Consumer) (jetstream.Msg, error) {
	wait, suspect := quietAfter, false
	for {
		quiet, cancel := context.WithTimeout(ctx, wait)
		msg, err := messages.Next(jetstream.NextContext(quiet))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return msg, err
		}
		info, err := consumer.Info(ctx)
		switch {
		case err != nil || info.Delivered.Stream <= f.after && info.NumPending == 0: // whoever has no leader now is asked again
			wait, suspect = quietAfter, false
		case suspect:
			return nil, fmt.Errorf("%w: the consumer is at %d with %d more to come, and nothing comes after %d", errOutOfOrder, info.Delivered.Stream, info.NumPending, f.after)
		default: // it may be on its way
			wait, suspect = recheckAfter, true
		}
	}
}

// open makes the consumer anew, behind the committed sequence: one that stands may have delivered what was then not committed, and its acks are of no account.
func (f *fetcher) open(ctx context.Context) (jetstream.Consumer, error) {
	// The answer is its leader's: when that is gone the consumer goes without a word, and the next try finds none.
	deleting, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := f.stream.DeleteConsumer(deleting, f.name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("delete consumer %s: %w", f.name, err)
	}
	cfg := jetstream.ConsumerConfig{
		Durable:       f.name,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   f.after + 1,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       time.Hour, // a full disk must not bring messages again
		MaxAckPending: -1,
	}
	if f.healTo != 0 {
		cfg.InactiveThreshold = time.Minute
	}
	consumer, err := f.stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make consumer %s: %w", f.name, err)
	}
	return consumer, nil
}

// take checks the place of a message in the stream and decodes it.
func (f *fetcher) take(ctx context.Context, msg jetstream.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read consumer %s: %w", f.name, err)
	}
	if err := f.follows(ctx, meta); err != nil {
		return nil, err
	}
	f.sent, f.after = f.sent+1, meta.Sequence.Stream
	d := &delivery{
		sequence: meta.Sequence.Stream, subject: msg.Subject(), reply: msg.Reply(), stored: meta.Timestamp,
		header: msg.Headers(), payload: msg.Data(),
	}
	d.fault = f.decode(d)
	return d, nil
}

// follows reports a message that is not the next one. The consumer counts what it delivers: what was lost on its way is missing there, also where messages may have been purged.
// Above what is being healed every sequence exists, unless someone deleted messages by hand: that is asked of the stream, so that it cannot stop the partition for ever.
func (f *fetcher) follows(ctx context.Context, meta *jetstream.MsgMetadata) error {
	got, want := meta.Sequence.Stream, f.after+1
	if meta.NumDelivered > 1 || got < want || meta.Sequence.Consumer != f.sent+1 {
		return fmt.Errorf("%w: %d delivered %d times after %d, as number %d of the consumer and not %d", errOutOfOrder, got, meta.NumDelivered, f.after, meta.Sequence.Consumer, f.sent+1)
	}
	for seq := max(want, f.healTo+1); seq < got; seq++ {
		_, err := f.stream.GetMsg(ctx, seq)
		if !isAPI(err, codeNoMessage) && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("%w: %d after %d", errOutOfOrder, got, f.after)
		}
	}
	return nil
}

// decode fills in what the message means; its error is the reason to quarantine it.
func (f *fetcher) decode(d *delivery) error {
	host, err := wire.HostOfPart(d.subject)
	if err != nil {
		return err
	}
	d.host = host
	b, err := wire.ParseBatch(d.header)
	if err != nil {
		return err
	}
	d.batch = &b
	d.raw, err = f.decoder.Decode(f.buffer(), d.payload, &b)
	return err
}

func (f *fetcher) buffer() []byte {
	select {
	case b := <-f.free:
		return b
	default:
		return nil
	}
}
