package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// player plays the receivers: it reads every partition of the layout from its floor on, and moves the floor. A batch that does not begin where the one
// before it has ended is a fault: lost, doubled or out of order.
type player struct {
	t      *testing.T
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	done   map[string]uint64 // sequence up to which a stream is archived
	ends   map[string]int64  // by host and source
}

func newPlayer(t *testing.T, js jetstream.JetStream) *player {
	t.Helper()
	bucket, err := js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return &player{t: t, js: js, bucket: bucket, done: map[string]uint64{}, ends: map[string]int64{}}
}

// play archives what is there. An error says that the hub or the layout went away meanwhile.
func (p *player) play(ctx context.Context) error {
	var l wire.Layout
	if err := p.get(ctx, wire.LayoutKey, &l); err != nil {
		return err
	}
	for n := range l.Partitions {
		if err := p.partition(ctx, l, n); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) get(ctx context.Context, key string, into any) error {
	entry, err := p.bucket.Get(ctx, key)
	if err != nil {
		return err
	}
	return json.Unmarshal(entry.Value(), into)
}

func (p *player) partition(ctx context.Context, l wire.Layout, n int) error {
	stream, err := p.js.Stream(ctx, l.Stream(n))
	if err != nil {
		return err
	}
	var record struct {
		Floor uint64 `json:"floor"`
	}
	if err := p.get(ctx, wire.RecordKey(l.Number, n), &record); err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	for sequence := p.done[l.Stream(n)] + 1; sequence <= last; sequence++ {
		msg, err := stream.GetMsg(ctx, sequence)
		if err != nil {
			return err
		}
		p.archive(msg)
		p.done[l.Stream(n)] = sequence
	}
	if record.Floor == last {
		return nil
	}
	record.Floor = last
	data, err := json.Marshal(record)
	if err == nil {
		_, err = p.bucket.Put(ctx, wire.RecordKey(l.Number, n), data)
	}
	return err
}

func (p *player) archive(msg *jetstream.RawStreamMsg) {
	host, err := wire.HostOfPart(msg.Subject)
	if err != nil {
		p.t.Error(err)
	}
	b, err := wire.ParseBatch(msg.Header)
	if err != nil {
		p.t.Error(err)
	}
	for _, c := range b.Chunks {
		at := host + " " + c.Source
		if c.Offset != p.ends[at] {
			p.t.Errorf("%s: batch %d of %s begins at %d, the archive ends at %d", at, msg.Sequence, msg.Subject, c.Offset, p.ends[at])
		}
		p.ends[at] = c.Offset + c.Length
	}
}

// run plays until ctx ends.
func (p *player) run(ctx context.Context) {
	for ctx.Err() == nil {
		look, cancel := context.WithTimeout(ctx, time.Second) // a hub that was killed does not answer
		_ = p.play(look)
		cancel()
		time.Sleep(5 * time.Millisecond)
	}
}

// liner is an agent with one file of numbered lines, which waits out everything that agents wait out.
type liner struct {
	t        *testing.T
	host     string
	nc       *nats.Conn
	stream   string
	expected uint64
	end      int64       // acknowledged
	begun    atomic.Bool // something is
}

const lineBytes = 8

// join says hello until it is answered. A chain that holds less than was acknowledged has lost something, and one that holds more was written by someone else.
func (l *liner) join(ctx context.Context, most int64) {
	data, err := wire.Hello{Version: wire.Version, Writer: "w-" + l.host, Session: "s-" + l.host}.Encode()
	if err != nil {
		l.t.Error(err)
	}
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		msg, err := l.nc.Request(wire.HelloSubject(l.host), data, time.Second)
		if err != nil || msg.Header.Get("Nats-Service-Error") != "" {
			continue
		}
		w, err := wire.DecodeWelcome(msg.Data)
		if err != nil || w.Refusal != "" {
			l.t.Errorf("%s: hello is answered with %+v, %v", l.host, w, err)
			return
		}
		end := int64(0)
		if e := w.Table.Find("/x", 1); e != nil {
			end = e.Offset
		}
		if end < l.end || end > most {
			l.t.Errorf("%s: %d bytes are acknowledged, %d sent, the hub has %d at %d of %s", l.host, l.end, most, end, w.Head, w.Stream)
		}
		l.stream, l.expected, l.end = w.Stream, w.Head, end
		return
	}
}

// run ships lines until ctx ends.
func (l *liner) run(ctx context.Context) {
	l.join(ctx, l.end)
	for ctx.Err() == nil {
		n := l.end / lineBytes
		msg := clustertest.Batch(l.host, "w-"+l.host, uint64(n+1), "/x", l.end, fmt.Appendf(nil, "%07d\n", n))
		sequence, err := publishFor(l.nc, msg, l.stream, l.expected)
		switch code := codeOf(err); {
		case err == nil:
			l.expected, l.end = sequence, l.end+lineBytes
			l.begun.Store(true)
		case code == 10060 || code == 10071:
			l.join(ctx, l.end+lineBytes)
		case code != 0 && code != 10109:
			l.t.Errorf("%s: %v", l.host, err)
		default:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// publishFor is one attempt of an agent.
func publishFor(nc *nats.Conn, msg *nats.Msg, stream string, expected uint64) (uint64, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	ack, err := js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0), jetstream.WithExpectStream(stream), jetstream.WithExpectLastSequencePerSubject(expected))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// relaid waits until the hub has a layout of that number, and nothing is left to do.
func relaid(t *testing.T, js jetstream.JetStream, number int) wire.Layout {
	t.Helper()
	var status cluster.LayoutStatus
	clustertest.Until(t, fmt.Sprintf("layout %d is there", number), func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a hub that was killed does not answer
		defer cancel()
		var err error
		status, err = cluster.ReadLayout(ctx, js)
		return err == nil && status.Next == nil && status.Now.Number == number
	})
	return status.Now
}

func want(t *testing.T, js jetstream.JetStream, partitions int) wire.Layout {
	t.Helper()
	l, err := cluster.WantLayout(t.Context(), js, partitions, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// welcomed says hello until it is answered by anything but an error.
func welcomed(t *testing.T, nc *nats.Conn, host string, h wire.Hello) (w wire.Welcome) {
	t.Helper()
	data, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "hello is answered", func() bool {
		msg, err := nc.Request(wire.HelloSubject(host), data, time.Second)
		if err != nil || msg.Header.Get("Nats-Service-Error") != "" {
			return false
		}
		w, err = wire.DecodeWelcome(msg.Data)
		return err == nil
	})
	return w
}

// refused waits until hello is answered with an error, and gives it.
func refused(t *testing.T, nc *nats.Conn, host string) (text string) {
	t.Helper()
	data, err := hello("a", 0).Encode()
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "hello is refused", func() bool {
		msg, err := nc.Request(wire.HelloSubject(host), data, time.Second)
		if err == nil {
			text = msg.Header.Get("Nats-Service-Error")
		}
		return text != ""
	})
	return text
}

func TestLayoutChangesOnceTheArchiveHasEverything(t *testing.T) {
	s := newStand(t)
	player := newPlayer(t, s.js)
	var table wire.Table
	for n := range uint64(3) {
		s.line(t, n, &table)
	}
	want(t, s.js, 3)
	if text := refused(t, s.agent, "web1"); !strings.Contains(text, "from 1 partitions into 3") {
		t.Errorf("hello is answered with %q", text)
	}
	if _, err := publishFor(s.agent, clustertest.Batch("web1", "w-a", 4, "/x", 27, []byte("line 003\n")), s.name(), table.Sequence); err == nil || codeOf(err) != 0 {
		t.Errorf("a batch during the change: %v, want no answer", err)
	}
	status, err := cluster.ReadLayout(t.Context(), s.js)
	if err != nil || status.Next == nil || status.Next.Sealing || len(status.Behind) != 1 || status.Behind[0] != (cluster.Unarchived{Partition: 0, Floor: 0, Last: 3}) {
		t.Fatalf("status is %+v, %v", status, err)
	}
	if err := player.play(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := relaid(t, s.js, 2)
	if l.Partitions != 3 || l.StreamBytes != 4<<20 {
		t.Errorf("the layout is %+v", l)
	}

	w := welcomed(t, s.agent, "web1", hello("a", 0))
	stream := l.Stream(wire.Partition("web1", 3))
	table.Sequence = 0
	if w.Stream != stream || w.Head != 0 || w.Archived != 0 || fmt.Sprint(*w.Table) != fmt.Sprint(table) {
		t.Errorf("hello in the new layout: %+v with %+v, want %+v", w, w.Table, table)
	}
	if _, err := publishFor(s.agent, clustertest.Batch("web1", "w-a", 4, "/x", 27, []byte("line 003\n")), s.name(), 3); codeOf(err) != 10060 {
		t.Errorf("a batch for the old stream: %v, want 10060", err)
	}
	if _, err := publishFor(s.agent, clustertest.Batch("web1", "w-a", 4, "/x", 27, []byte("line 003\n")), stream, 0); err != nil {
		t.Errorf("a batch for the new stream: %v", err)
	}
	if err := player.play(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w = clustertest.Hello(t, s.agent, "web1", hello("a", 0)); w.Head != 1 || w.Table.Sources["/x"][0].Offset != 36 {
		t.Errorf("hello after a batch in the new layout: %+v with %+v", w, w.Table)
	}
	s.onlyOf(t, l)
	stats, err := s.hub.Stats()
	if err != nil || len(stats.Streams) != 3 || stats.Streams[0].Name != l.Stream(0) {
		t.Errorf("the hub's figures are %+v, %v", stats, err)
	}
}

// onlyOf fails if anything of another layout is left in the hub, but for records.
func (s *stand) onlyOf(t *testing.T, l wire.Layout) {
	t.Helper()
	var names []string
	streams := s.js.StreamNames(t.Context())
	for name := range streams.Name() {
		names = append(names, name)
	}
	wanted := []string{"KV_" + wire.Bucket}
	for p := range l.Partitions {
		wanted = append(wanted, l.Stream(p))
	}
	slices.Sort(names)
	slices.Sort(wanted)
	if err := streams.Err(); err != nil || !slices.Equal(names, wanted) {
		t.Errorf("the hub has %v (%v), want %v", names, err, wanted)
	}
	bucket, err := s.js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := bucket.ListKeysFiltered(t.Context(), "table.>")
	if err != nil {
		t.Fatal(err)
	}
	for key := range keys.Keys() {
		if stream := strings.Split(key, ".")[1]; !slices.Contains(wanted, stream) {
			t.Errorf("table %s is left", key)
		}
	}
}

func TestLayoutChangeCanBeTakenBack(t *testing.T) {
	s := newStand(t)
	var table wire.Table
	s.line(t, 0, &table)
	if err := cluster.KeepLayout(t.Context(), s.js); !errors.Is(err, cluster.ErrNoChange) {
		t.Errorf("nothing is taken back: %v", err)
	}
	want(t, s.js, 3)
	refused(t, s.agent, "web1")
	if _, err := cluster.WantLayout(t.Context(), s.js, 4, 0); !errors.Is(err, cluster.ErrUnderWay) || !strings.Contains(err.Error(), "into 3 partitions") {
		t.Errorf("a second change: %v", err)
	}
	if err := cluster.KeepLayout(t.Context(), s.js); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "batches are taken again", func() bool {
		_, err := publishFor(s.agent, clustertest.Batch("web1", "w-a", 1, "/x", 9, []byte("line 001\n")), s.name(), 1)
		return err == nil || codeOf(err) == 10071 // an answer was lost
	})
	welcomed(t, s.agent, "web1", hello("a", 0))
	if l := relaid(t, s.js, 1); l.Partitions != 1 {
		t.Errorf("the layout is %+v", l)
	}
	want(t, s.js, 2) // the key was there before
}

func TestLayoutsThatAreNotPossible(t *testing.T) {
	s := newStand(t)
	for _, c := range []struct {
		partitions int
		bytes      int64
		want       string
	}{
		{0, 0, "0 partitions: 1 to 256"},
		{257, 0, "257 partitions: 1 to 256"},
		{1, 0, "has 1 partitions of 4194304 bytes already"},
		{1, 1000, "stream size 1000 bytes"},
		{1, 1 << 60, "stream size"},
	} {
		if _, err := cluster.WantLayout(t.Context(), s.js, c.partitions, c.bytes); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d partitions of %d bytes: %v, want it to say %q", c.partitions, c.bytes, err, c.want)
		}
	}
	// Written by hand, it is left alone, and so are the agents.
	bucket, err := s.js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	l := layoutOf(t, s.hub)
	l.Number, l.Partitions = l.Number+1, 100_000
	data, err := json.Marshal(l)
	if err == nil {
		_, err = bucket.Create(t.Context(), wire.NextLayoutKey, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.publish(t, "web1", []byte("x\n"), 0)
}

// The limits of the account follow the layout while the server runs: streams that no start has reckoned with.
func TestLayoutGrowsBeyondWhatTheServerWasStartedWith(t *testing.T) {
	s := newStand(t)
	if _, err := cluster.WantLayout(t.Context(), s.js, 8, 4<<30); err != nil {
		t.Fatal(err)
	}
	l := relaid(t, s.js, 2)
	if l.Partitions != 8 || l.StreamBytes != 4<<30 {
		t.Errorf("the layout is %+v", l)
	}
	want(t, s.js, 20)
	relaid(t, s.js, 3)
	if _, err := cluster.WantLayout(t.Context(), s.js, 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	s.onlyOf(t, relaid(t, s.js, 4))
	clustertest.Until(t, "the account may use no more than before", func() bool {
		_, err := s.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "LARGE", MaxBytes: 8 << 30})
		if err == nil {
			err = s.js.DeleteKeyValue(t.Context(), "LARGE")
		}
		return codeOf(err) == 10047
	})
}

// T8: a publish that was on its way when the layout changed is stored nowhere, and the agent goes on where its chain is.
func TestPublishFromBeforeTheChangeIsRefusedAfterIt(t *testing.T) {
	s := newStand(t)
	proxy := clustertest.StartProxy(t, s.hub.Addresses().Leaf)
	agent := clustertest.StartLeaf(t, s.hub, "web2", "b", proxy.Leaf()).Client(t)
	answers := make(chan *nats.Msg, 10)
	if _, err := agent.ChanSubscribe("_INBOX.web2.late", answers); err != nil {
		t.Fatal(err)
	}
	w := clustertest.Hello(t, agent, "web2", hello("b", 0)) // by its answer the hub knows the subscription, too
	proxy.Blackhole()
	held := proxy.Held()
	for expected := range uint64(3) { // the first batch of a chain, too: its expectation is that of every new one
		msg := clustertest.Batch("web2", "w-b", 1, "/x", 0, []byte("x\n"))
		msg.Header.Set("Nats-Expected-Stream", w.Stream)
		msg.Header.Set(wire.HeaderExpected, fmt.Sprint(expected))
		msg.Reply = "_INBOX.web2.late"
		if err := agent.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
	if err := agent.Flush(); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the batches are on their way", func() bool { return proxy.Held() > held+500 })
	want(t, s.js, 3)
	l := relaid(t, s.js, 2)
	welcomed(t, s.agent, "web1", hello("a", 0)) // batches are led into the new layout
	proxy.Heal()
	proxy.Release()
	for range 3 {
		select {
		case msg := <-answers:
			if !strings.Contains(string(msg.Data), "10060") {
				t.Errorf("the hub answers %s", msg.Data)
			}
		case <-time.After(clustertest.Patience):
			t.Fatal("the hub does not answer")
		}
	}
	for p := range l.Partitions {
		stream, err := s.js.Stream(t.Context(), l.Stream(p))
		if err != nil || stream.CachedInfo().State.LastSeq != 0 {
			t.Errorf("stream %s: %+v, %v", l.Stream(p), stream, err)
		}
	}
}

// Many agents ship on while the layout changes again and again: nothing is lost, doubled or out of order.
func TestAgentsShipThroughChanges(t *testing.T) {
	rounds := []int{16, 3}
	if !testing.Short() {
		rounds = []int{16, 3, 1, 8, 8, 5}
	}
	cfg := clustertest.Config()
	cfg.Partitions = 8
	hub := clustertest.Start(t, cfg)
	js := streamsOf(t, hub.Receiver(t))
	player := newPlayer(t, js)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	playing, stopPlaying := context.WithCancel(context.Background())
	defer stopPlaying()
	var shipping, archiving sync.WaitGroup
	var liners []*liner
	for n := range 10 {
		host := fmt.Sprintf("web%d", n)
		leaf := clustertest.NewLeaf(t, cluster.LeafConfig{Host: host, Writer: "w-" + host, Session: "s-" + host, Hubs: []string{hub.Addresses().Leaf}, Secret: hub.Secret()})
		l := &liner{t: t, host: host, nc: leaf.Client(t)}
		liners = append(liners, l)
		shipping.Go(func() { l.run(ctx) })
	}
	archiving.Go(func() { player.run(playing) })
	for n, partitions := range rounds {
		time.Sleep(100 * time.Millisecond) // some batches
		start := time.Now()
		if _, err := cluster.WantLayout(t.Context(), js, partitions, int64(64+n)<<20); err != nil {
			t.Fatal(err)
		}
		relaid(t, js, n+2)
		t.Logf("into %d partitions: %v", partitions, time.Since(start))
	}
	time.Sleep(100 * time.Millisecond)
	for _, l := range liners {
		clustertest.Until(t, l.host+" has shipped something", l.begun.Load)
	}
	cancel()
	shipping.Wait()
	player.finish()
	stopPlaying()
	archiving.Wait()
	player.has(liners)
}

// finish waits until the floors of the layout are at the ends of its streams, while another goroutine plays.
func (p *player) finish() {
	p.t.Helper()
	clustertest.Until(p.t, "the floors are at the end", func() bool {
		var l wire.Layout
		err := p.get(p.t.Context(), wire.LayoutKey, &l)
		for n := 0; err == nil && n < l.Partitions; n++ {
			var record struct{ Floor uint64 }
			if err = p.get(p.t.Context(), wire.RecordKey(l.Number, n), &record); errors.Is(err, jetstream.ErrKeyNotFound) {
				err = nil
			}
			if err != nil {
				break
			}
			var stream jetstream.Stream
			if stream, err = p.js.Stream(p.t.Context(), l.Stream(n)); err == nil && stream.CachedInfo().State.LastSeq != record.Floor {
				return false
			}
		}
		return err == nil
	})
}

// has fails if something that was acknowledged is not archived.
func (p *player) has(liners []*liner) {
	p.t.Helper()
	for _, l := range liners {
		if got := p.ends[l.host+" /x"]; got < l.end || l.end == 0 {
			p.t.Errorf("%s: %d bytes are acknowledged, %d archived", l.host, l.end, got)
		}
	}
}

// A host that sends nothing through a layout has no batch there. It must not be forgotten by the change after that one.
func TestSilentHostKeepsItsTable(t *testing.T) {
	s := newStand(t)
	player := newPlayer(t, s.js)
	var table wire.Table
	s.line(t, 0, &table)
	if err := player.play(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, partitions := range []int{3, 2, 5} {
		want(t, s.js, partitions)
		relaid(t, s.js, n+2)
	}
	table.Sequence = 0
	if w := welcomed(t, s.agent, "web1", hello("a", 0)); w.Head != 0 || fmt.Sprint(*w.Table) != fmt.Sprint(table) {
		t.Errorf("hello after three changes: %+v with %+v, want %+v", w, w.Table, table)
	}
}

// Where the first batch of a layout is still to come, whoever wrote the last one before it counts as the writer of the head.
func TestSecondAgentDoesNotTakeTheHostOverInANewLayout(t *testing.T) {
	s := newStand(t)
	player := newPlayer(t, s.js)
	writer := clustertest.StartLeaf(t, s.hub, "web1", "b", s.hub.Addresses().Leaf).Client(t) // linked later than the other
	if _, err := clustertest.Publish(writer, clustertest.Batch("web1", "w-b", 1, "/x", 0, []byte("x\n")), s.name(), 0); err != nil {
		t.Fatal(err)
	}
	if err := player.play(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, s.js, 3)
	relaid(t, s.js, 2)
	if w := welcomed(t, writer, "web1", hello("b", 0)); w.Refusal != "" {
		t.Errorf("the agent that wrote the last batch is told %+v", w)
	}
	if w := welcomed(t, s.agent, "web1", hello("a", 0)); !w.Conflict {
		t.Errorf("the other agent is told %+v", w)
	}
}
