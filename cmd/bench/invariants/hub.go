package invariants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

// ReadHub reads all partitions of a hub through a connection to its account LOGS.
func ReadHub(ctx context.Context, nc *nats.Conn) (Hub, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("read hub: %w", err)
	}
	bucket, err := js.KeyValue(ctx, wire.Bucket)
	if err != nil {
		return nil, fmt.Errorf("read hub: %w", err)
	}
	r := reader{js: js, bucket: bucket}
	if err := r.value(ctx, wire.LayoutKey, &r.layout); err != nil {
		return nil, fmt.Errorf("read hub: %w", err)
	}
	var hub Hub
	for p := range r.layout.Partitions {
		partition, err := r.partition(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read partition %d: %w", p, err)
		}
		hub = append(hub, partition)
	}
	return hub, nil
}

type reader struct {
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	layout wire.Layout
}

// value reads a key as JSON; an absent one leaves v as it is.
func (r *reader) value(ctx context.Context, key string, v any) error {
	entry, err := r.bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(entry.Value(), v); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

func (r *reader) partition(ctx context.Context, number int) (Partition, error) {
	p := Partition{Stream: r.layout.Stream(number)}
	stream, err := r.js.Stream(ctx, p.Stream)
	if err != nil {
		return p, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return p, err
	}
	p.Created, p.Last = info.Created, info.State.LastSeq
	p.Record = handover.Record{Stream: p.Stream}
	if err := r.value(ctx, wire.RecordKey(r.layout.Number, number), &p.Record); err != nil {
		return p, err
	}
	chains := map[string]*Chain{}
	if err := r.tables(ctx, p.Stream, chains); err != nil {
		return p, err
	}
	if err := r.links(ctx, p.Stream, info.State.Msgs, chains); err != nil {
		return p, err
	}
	for _, c := range chains {
		p.Chains = append(p.Chains, *c)
	}
	slices.SortFunc(p.Chains, func(a, b Chain) int { return strings.Compare(a.Host, b.Host) })
	return p, nil
}

func (r *reader) tables(ctx context.Context, stream string, chains map[string]*Chain) error {
	keys, err := r.bucket.ListKeysFiltered(ctx, wire.TableKeys(stream))
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	for key := range keys.Keys() {
		entry, err := r.bucket.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		host, err := wire.HostOfToken(key[strings.LastIndexByte(key, '.')+1:])
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		table, err := wire.DecodeTable(entry.Value())
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		chains[host] = &Chain{Host: host, Table: table}
	}
	return ctx.Err()
}

// links reads the headers of every message in the stream.
func (r *reader) links(ctx context.Context, stream string, count uint64, chains map[string]*Chain) error {
	if count == 0 {
		return nil
	}
	consumer, err := r.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return fmt.Errorf("read headers: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read headers: %w", err)
	}
	defer messages.Stop()
	for range count {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read headers: %w", err)
		}
		if err := link(msg, chains); err != nil {
			return err
		}
	}
	return nil
}

func link(msg jetstream.Msg, chains map[string]*Chain) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("read headers: %w", err)
	}
	host, err := wire.HostOfPart(msg.Subject())
	if err != nil {
		return fmt.Errorf("read headers of %d: %w", meta.Sequence.Stream, err)
	}
	l := Link{Sequence: meta.Sequence.Stream}
	l.Expected, _ = wire.Expectation(msg.Headers())
	if batch, err := wire.ParseBatch(msg.Headers()); err == nil {
		l.Batch = &batch
	}
	c := chains[host]
	if c == nil {
		c = &Chain{Host: host}
		chains[host] = c
	}
	c.Links = append(c.Links, l)
	return nil
}
