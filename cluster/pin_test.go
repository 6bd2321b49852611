package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// The tests of this file pin what logdrive relies upon, or defends itself against, in the server. When one fails after an upgrade, read
// the rule it names before the test is changed.

// stand is a hub with one agent of host web1.
type stand struct {
	hub    *clustertest.Hub
	agent  *nats.Conn
	js     jetstream.JetStream // of a receiver
	stream jetstream.Stream
}

func newStand(t *testing.T) *stand {
	t.Helper()
	cfg := clustertest.Config()
	cfg.Partitions, cfg.StreamBytes = 1, 4<<20
	return standOn(t, cfg)
}

func standOn(t *testing.T, cfg cluster.HubConfig) *stand {
	t.Helper()
	s := &stand{hub: clustertest.Start(t, cfg)}
	s.agent = clustertest.StartLeaf(t, s.hub, "web1", "a", s.hub.Addresses().Leaf).Client(t)
	var err error
	if s.js, err = jetstream.New(s.hub.Receiver(t)); err != nil {
		t.Fatal(err)
	}
	w := clustertest.Hello(t, s.agent, "web1", hello("a", 0))
	if s.stream, err = s.js.Stream(t.Context(), w.Stream); err != nil {
		t.Fatal(err)
	}
	return s
}

func hello(name string, after uint64) wire.Hello {
	return wire.Hello{Version: wire.Version, Writer: "w-" + name, Session: "s-" + name, After: after}
}

func (s *stand) name() string { return s.stream.CachedInfo().Config.Name }

// publish stores a batch of host as its agent would.
func (s *stand) publish(t *testing.T, host string, raw []byte, expected uint64) uint64 {
	t.Helper()
	seq, err := clustertest.Publish(s.agent, clustertest.Batch(host, "w-a", 1, "/x", 0, raw), s.name(), expected)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func (s *stand) state(t *testing.T) jetstream.StreamState {
	t.Helper()
	info, err := s.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State
}

func codeOf(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

// P1, P4: the refusals an agent decides by arrive through leaf, import and mapping as they are.
func TestRefusalsArriveAtTheAgent(t *testing.T) {
	s := newStand(t)
	head := s.publish(t, "web1", []byte("x\n"), 0)
	try := func(stream string, expected uint64, size int) error {
		_, err := clustertest.Publish(s.agent, clustertest.Batch("web1", "w-a", 2, "/x", 2, make([]byte, size)), stream, expected)
		return err
	}
	if got := codeOf(try(s.name(), 0, 1)); got != 10071 {
		t.Errorf("expectation of an empty chain: code %d, want 10071", got)
	}
	if got := codeOf(try(s.name(), head+1, 1)); got != 10071 {
		t.Errorf("expectation beyond the head: code %d, want 10071", got)
	}
	if got := codeOf(try("LOGS-other-1-0", head, 1)); got != 10060 {
		t.Errorf("another hub's stream: code %d, want 10060", got)
	}
	if got := codeOf(try(s.name(), head, 5<<20)); got != 10077 {
		t.Errorf("more than the stream holds: code %d, want 10077", got)
	}
	if got := codeOf(try(s.name(), head+1, 5<<20)); got != 10071 {
		t.Errorf("wrong expectation of a batch that does not fit: code %d, want 10071", got)
	}
	if err := try(s.name(), head, wire.MaxPayload); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("payload and headers beyond the limit: %v, want %v", err, nats.ErrMaxPayload)
	}
	if err := try(s.name(), head, 1<<20); err != nil {
		t.Errorf("refusals changed the chain: %v", err)
	}
}

// R9: a stored batch names its predecessor.
func TestStoredBatchKeepsItsExpectation(t *testing.T) {
	s := newStand(t)
	first := s.publish(t, "web1", []byte("x\n"), 0)
	second := s.publish(t, "web1", []byte("y\n"), first)
	msg, err := s.stream.GetMsg(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := msg.Header.Get(wire.HeaderExpected), fmt.Sprint(first); got != want {
		t.Errorf("%s is %q, want %q", wire.HeaderExpected, got, want)
	}
}

// H1: a purge up to a sequence touches that host below that sequence, nothing else, and room is back at once.
func TestPurgeKeepsHeadAndOtherHosts(t *testing.T) {
	s := newStand(t)
	raw := make([]byte, 600<<10)
	var own, other uint64
	for range 3 {
		own = s.publish(t, "web1", raw, own)
		other = s.publish(t, "web2", raw, other)
	}
	if _, err := clustertest.Publish(s.agent, clustertest.Batch("web3", "w-a", 1, "/x", 0, raw), s.name(), 0); codeOf(err) != 10077 {
		t.Fatalf("the stream should be full, got %v", err)
	}
	if err := s.stream.Purge(t.Context(), jetstream.WithPurgeSubject(wire.PartSubject(1, 0, "web1")), jetstream.WithPurgeSequence(own)); err != nil {
		t.Fatal(err)
	}
	if got := s.state(t).Msgs; got != 4 {
		t.Errorf("%d messages are left, want the head of web1 and all three of web2", got)
	}
	s.publish(t, "web3", raw, 0)
	s.publish(t, "web1", []byte("x\n"), own)
	s.publish(t, "web2", []byte("x\n"), other)
}

// A full stream can be drained of heads: its limit may be raised for a while, and lowering it below what it holds deletes nothing.
func TestStreamLimitMayGoUpAndDown(t *testing.T) {
	s := newStand(t)
	raw := make([]byte, 1<<20)
	for _, host := range []string{"web1", "web2", "web3"} {
		s.publish(t, host, raw, 0)
	}
	publish := func() error {
		_, err := clustertest.Publish(s.agent, clustertest.Batch("web4", "w-a", 1, "/x", 0, raw), s.name(), 0)
		return err
	}
	if got := codeOf(publish()); got != 10077 {
		t.Fatalf("the stream should be full, got code %d", got)
	}
	low := s.stream.CachedInfo().Config
	high := low
	high.MaxBytes *= 2
	if _, err := s.js.UpdateStream(t.Context(), high); err != nil {
		t.Fatal(err)
	}
	if err := publish(); err != nil {
		t.Errorf("the raised limit does not hold: %v", err)
	}
	if _, err := s.js.UpdateStream(t.Context(), low); err != nil {
		t.Fatal(err)
	}
	if got := s.state(t).Msgs; got != 4 {
		t.Errorf("lowering the limit left %d of 4 messages", got)
	}
}

// C3: the reason why no acknowledgement is ever the record of a hand-over.
func TestStaleAckIsAcceptedAfterRedelivery(t *testing.T) {
	s := newStand(t)
	s.publish(t, "web1", []byte("x\n"), 0)
	consumer, err := s.stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "archive-1", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 50 * time.Millisecond, MaxDeliver: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	stale := next(t, consumer)
	if again := next(t, consumer); again.Reply() == stale.Reply() {
		t.Fatal("no redelivery")
	}
	if err := stale.Ack(); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the stale ack counts", func() bool {
		info, err := consumer.Info(context.Background())
		return err == nil && info.AckFloor.Stream == 1
	})
}

func next(t *testing.T, consumer jetstream.Consumer) jetstream.Msg {
	t.Helper()
	msg, err := consumer.Next(jetstream.FetchMaxWait(clustertest.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// Readers compute the partition of a host, the server computes it for every batch: they must agree.
func TestPartitionIsTheServersMapping(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions, cfg.StreamBytes = 7, 1<<20
	hub := clustertest.Start(t, cfg)
	agent := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf).Client(t)
	var hosts []string
	for n := range 100 {
		hosts = append(hosts, fmt.Sprintf("h%d", n), fmt.Sprintf("web-%d.example.com", n), fmt.Sprintf("A_%d.b", n*n))
	}
	used := map[string]bool{}
	for _, host := range hosts {
		stream := streamOf(t, hub, wire.Partition(host, 7))
		used[stream] = true
		if _, err := clustertest.Publish(agent, clustertest.Batch(host, "w-a", 1, "/x", 0, []byte("x\n")), stream, 0); err != nil {
			t.Errorf("host %s is not in partition %d: %v", host, wire.Partition(host, 7), err)
		}
	}
	if len(used) != 7 {
		t.Errorf("300 hosts used %d of 7 partitions", len(used))
	}
}

func streamOf(t *testing.T, hub *clustertest.Hub, partition int) string {
	t.Helper()
	stats, err := hub.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return stats.Streams[partition].Name
}

func streamsOf(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// layoutOf reads the layout as receivers do.
func layoutOf(t *testing.T, hub *clustertest.Hub) wire.Layout {
	t.Helper()
	nc := hub.Receiver(t)
	defer nc.Close()
	bucket, err := streamsOf(t, nc).KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), wire.LayoutKey)
	if err != nil {
		t.Fatal(err)
	}
	var l wire.Layout
	if err := json.Unmarshal(entry.Value(), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// H4: a sealed stream takes nothing and loses nothing, and is read as before: the fence of a change of the layout.
func TestSealedStream(t *testing.T) {
	s := newStand(t)
	first := s.publish(t, "web1", []byte("x\n"), 0)
	head := s.publish(t, "web1", []byte("y\n"), first)
	open := s.stream.CachedInfo().Config
	sealed := open
	sealed.Sealed = true
	if _, err := s.js.UpdateStream(t.Context(), sealed); err != nil {
		t.Fatal(err)
	}
	const code = 10109
	for name, c := range map[string]struct {
		stream   string
		expected uint64
	}{"the next batch": {s.name(), head}, "a wrong expectation": {s.name(), 0}, "another stream": {"LOGS-other-1-0", head}} {
		_, err := clustertest.Publish(s.agent, clustertest.Batch("web1", "w-a", 3, "/x", 4, []byte("z\n")), c.stream, c.expected)
		if got := codeOf(err); got != code {
			t.Errorf("%s: %v, want code %d", name, err, code)
		}
	}
	subject := wire.PartSubject(1, 0, "web1")
	if err := s.stream.Purge(t.Context(), jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(head)); codeOf(err) != code {
		t.Errorf("a purge: %v, want code %d", err, code)
	}
	if err := s.stream.DeleteMsg(t.Context(), first); err == nil || !strings.Contains(err.Error(), "sealed stream") { // no code in it
		t.Errorf("deleting a message: %v", err)
	}
	if _, err := s.js.UpdateStream(t.Context(), open); err == nil {
		t.Error("the seal can be broken")
	}
	consumer, err := s.stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "archive-1", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := next(t, consumer).DoubleAck(t.Context()); err != nil {
			t.Errorf("an acknowledgement: %v", err)
		}
	}
	if got := s.state(t); got.Msgs != 2 || got.LastSeq != head {
		t.Errorf("the stream has changed: %+v", got)
	}
	if err := s.js.DeleteStream(t.Context(), s.name()); err != nil {
		t.Errorf("deleting the stream: %v", err)
	}
}

// While a stream is sealed, no publish is half way: what was answered before counts, all else is refused.
func TestSealIsAFence(t *testing.T) {
	s := newStand(t)
	stored, refused := make(chan uint64, 1), make(chan error, 1)
	started := make(chan struct{})
	go func() {
		var last uint64
		for n := uint64(1); ; n++ {
			sequence, err := clustertest.Publish(s.agent, clustertest.Batch("web1", "w-a", n, "/x", int64(n-1)*2, []byte("x\n")), s.name(), last)
			if err != nil {
				stored <- last
				refused <- err
				return
			}
			if last = sequence; n == 20 {
				close(started)
			}
		}
	}()
	<-started
	sealed := s.stream.CachedInfo().Config
	sealed.Sealed = true
	if _, err := s.js.UpdateStream(t.Context(), sealed); err != nil {
		t.Fatal(err)
	}
	last := s.state(t).LastSeq
	if got, err := <-stored, <-refused; got != last || codeOf(err) != 10109 {
		t.Errorf("sealed at %d, the last that was stored is %d; then %v", last, got, err)
	}
}
