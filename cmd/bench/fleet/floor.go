package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Watch is a view of the hub: the stream and record of one host's partition.
type Watch struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	bucket  jetstream.KeyValue
	stream  jetstream.Stream
	record  string // its key
	subject string // of the host's batches
}

// Watch looks at the partition of a host. Close it.
func (h *Hub) Watch(ctx context.Context, host string) (*Watch, error) {
	nc, err := h.Connect()
	if err != nil {
		return nil, fmt.Errorf("watch hub: %w", err)
	}
	w := &Watch{nc: nc}
	if err := w.find(ctx, host); err != nil {
		nc.Close()
		return nil, fmt.Errorf("watch hub: %w", err)
	}
	return w, nil
}

func (w *Watch) find(ctx context.Context, host string) error {
	var err error
	if w.js, err = jetstream.New(w.nc); err != nil {
		return err
	}
	if w.bucket, err = w.js.KeyValue(ctx, wire.Bucket); err != nil {
		return err
	}
	entry, err := w.bucket.Get(ctx, wire.LayoutKey)
	if err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	var layout wire.Layout
	if err := json.Unmarshal(entry.Value(), &layout); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	p := wire.Partition(host, layout.Partitions)
	w.record = wire.RecordKey(layout.Number, p)
	w.subject = wire.PartSubject(layout.Number, p, host)
	w.stream, err = w.js.Stream(ctx, layout.Stream(p))
	return err
}

// Close lets go of the hub.
func (w *Watch) Close() { w.nc.Close() }

// Floor is the sequence up to which the partition is archived, as its record says; 0 as long as there is none.
func (w *Watch) Floor(ctx context.Context) (uint64, error) {
	entry, err := w.bucket.Get(ctx, w.record)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read record %s: %w", w.record, err)
	}
	return floorOf(entry)
}

func floorOf(entry jetstream.KeyValueEntry) (uint64, error) {
	var record struct {
		Floor uint64 `json:"floor"`
	}
	if err := json.Unmarshal(entry.Value(), &record); err != nil {
		return 0, fmt.Errorf("read record %s: %w", entry.Key(), err)
	}
	return record.Floor, nil
}

// Last is the sequence of the last batch that is stored.
func (w *Watch) Last(ctx context.Context) (uint64, error) {
	info, err := w.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask stream: %w", err)
	}
	return info.State.LastSeq, nil
}

// Leader is the node that leads the partition's stream; "": there is none now, or the hub is one node.
func (w *Watch) Leader(ctx context.Context) (string, error) {
	info, err := w.stream.Info(ctx)
	if err != nil {
		return "", fmt.Errorf("ask stream: %w", err)
	}
	if info.Cluster == nil {
		return "", nil
	}
	return info.Cluster.Leader, nil
}

// Moved is a floor and when it was seen.
type Moved struct {
	Floor uint64
	At    time.Time
}

// Floors collects how the floor moves from now on until ctx ends.
func (w *Watch) Floors(ctx context.Context) ([]Moved, error) {
	watcher, err := w.bucket.Watch(ctx, w.record, jetstream.UpdatesOnly())
	if err != nil {
		return nil, fmt.Errorf("watch record %s: %w", w.record, err)
	}
	defer watcher.Stop()
	var all []Moved
	for {
		select {
		case entry, open := <-watcher.Updates():
			if !open || entry == nil {
				continue
			}
			floor, err := floorOf(entry)
			if err != nil {
				return all, err
			}
			all = append(all, Moved{Floor: floor, At: time.Now()})
		case <-ctx.Done():
			return all, nil
		}
	}
}

// End is where a stored batch ends in one source.
type End struct {
	Sequence uint64
	Offset   int64
}

// Ends reads the headers of what the stream still holds of the host: by source, in the order of the chain.
func (w *Watch) Ends(ctx context.Context) (map[string][]End, error) {
	last, err := w.Last(ctx)
	if err != nil {
		return nil, err
	}
	consumer, err := w.js.OrderedConsumer(ctx, w.stream.CachedInfo().Config.Name, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{w.subject}, HeadersOnly: true,
	})
	if err != nil {
		return nil, fmt.Errorf("read headers: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, fmt.Errorf("read headers: %w", err)
	}
	defer messages.Stop()
	ends := map[string][]End{}
	for sequence := uint64(0); sequence < last; {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("read headers: %w", err)
		}
		if sequence, err = addEnds(ends, msg); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

func addEnds(ends map[string][]End, msg jetstream.Msg) (uint64, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return 0, fmt.Errorf("read headers: %w", err)
	}
	batch, err := wire.ParseBatch(msg.Headers())
	if err != nil {
		return 0, fmt.Errorf("read headers of %d: %w", meta.Sequence.Stream, err)
	}
	for _, c := range batch.Chunks {
		ends[c.Source] = append(ends[c.Source], End{Sequence: meta.Sequence.Stream, Offset: c.Offset + c.Length})
	}
	return meta.Sequence.Stream, nil
}
