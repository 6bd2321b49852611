package receiver

import (
	"context"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// lagging is a stream of several replicas, of which the first readers meet one that is behind.
type lagging struct {
	jetstream.Stream
	behind  jetstream.Stream
	readers int
}

func (l *lagging) CreateConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if l.readers--; l.readers >= 0 {
		return l.behind.CreateConsumer(ctx, cfg)
	}
	return l.Stream.CreateConsumer(ctx, cfg)
}

func (l *lagging) CachedInfo() *jetstream.StreamInfo {
	info := *l.Stream.CachedInfo()
	info.Config.Replicas = 3
	return &info
}

// A table must not be taken from a replica that does not have the end of the chain yet.
func TestTableOfAReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	subject := wire.PartSubject(1, 0, "web1")
	whole, js := chainOf(t, subject, 3)
	part, _ := chainOf(t, subject, 1)
	bucket, err := js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	stream := &lagging{Stream: whole, behind: part, readers: 2}
	table, err := newTables(bucket, whole.CachedInfo().Config.Name).at(t.Context(), stream, subject, "web1", 3)
	if err != nil || table.Sequence != 3 {
		t.Errorf("table as of %d, %v; want 3", table.Sequence, err)
	}
	if stream.readers >= 0 {
		t.Error("nobody has read the replica that is behind")
	}
}

// chainOf is the stream of a hub with one partition and so many batches of one host.
func chainOf(t *testing.T, subject string, batches int) (jetstream.Stream, jetstream.JetStream) {
	t.Helper()
	cfg := clustertest.Config()
	cfg.Partitions = 1
	hub := clustertest.Start(t, cfg)
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	var expected uint64
	for n := range batches {
		batch := clustertest.Batch("web1", "w", uint64(n)+1, "/x", int64(n)*2, []byte("x\n"))
		msg := &nats.Msg{Subject: subject, Header: batch.Header, Data: batch.Data}
		msg.Header.Set(wire.HeaderExpected, strconv.FormatUint(expected, 10))
		ack, err := js.PublishMsg(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		expected = ack.Sequence
	}
	name, err := js.StreamNameBySubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream, js
}
