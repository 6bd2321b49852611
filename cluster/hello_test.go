package cluster_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// writeTable does what a partition's owner does before it purges.
func (s *stand) writeTable(t *testing.T, host string, table wire.Table) {
	t.Helper()
	bucket, err := s.js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	data, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), wire.TableKey(s.name(), host), data); err != nil {
		t.Fatal(err)
	}
}

func (s *stand) purge(t *testing.T, host string, below uint64) {
	t.Helper()
	if err := s.stream.Purge(t.Context(), jetstream.WithPurgeSubject(wire.PartSubject(1, 0, host)), jetstream.WithPurgeSequence(below)); err != nil {
		t.Fatal(err)
	}
}

// line publishes the nth line of web1 and folds it into the table.
func (s *stand) line(t *testing.T, n uint64, table *wire.Table) {
	t.Helper()
	raw := fmt.Appendf(nil, "line %03d\n", n)
	msg := clustertest.Batch("web1", "w-a", n, "/x", int64(n)*9, raw)
	seq, err := clustertest.Publish(s.agent, msg, s.name(), table.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.ParseBatch(msg.Header)
	if err != nil {
		t.Fatal(err)
	}
	table.Apply(seq, &b)
}

func TestHelloFollowsTheChainAfterTheTable(t *testing.T) {
	s := newStand(t)
	var table, archived wire.Table
	for n := range uint64(700) { // more than one fetch
		s.line(t, n, &table)
		if n == 20 {
			archived = table.Clone()
		}
	}
	check := func(what string, archived uint64) {
		t.Helper()
		w := clustertest.Hello(t, s.agent, "web1", hello("a", 0))
		if w.Refusal != "" || w.Head != table.Sequence || w.Archived != archived {
			t.Fatalf("%s: %+v, want head %d archived %d", what, w, table.Sequence, archived)
		}
		if got, want := fmt.Sprint(*w.Table), fmt.Sprint(table); got != want {
			t.Errorf("%s: table is %s, want %s", what, got, want)
		}
	}
	check("without a table in the bucket", 0)
	s.writeTable(t, "web1", archived)
	check("with a table", archived.Sequence)
	s.purge(t, "web1", archived.Sequence+1)
	check("after a purge of all that the table covers", archived.Sequence)
	s.writeTable(t, "web1", table)
	check("with a table at the head", table.Sequence)
	s.purge(t, "web1", table.Sequence)
	check("after a purge of all but the head", table.Sequence)
}

// A purge between the reading of the table and of the chain must not make hello forget what it purged.
func TestHelloWhileTablesMoveAndPurgesRun(t *testing.T) {
	s := newStand(t)
	var table wire.Table
	done := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			w := clustertest.Hello(t, s.agent, "web1", hello("a", 0))
			if w.Refusal != "" {
				t.Errorf("refused: %s", w.Refusal)
			} else if w.Head > 0 && w.Table.Sources["/x"][0].Offset != int64(w.Table.Number+1)*9 {
				t.Errorf("table at %d ends at %d after batch %d", w.Head, w.Table.Sources["/x"][0].Offset, w.Table.Number)
			}
		}
	})
	for n := range uint64(120) {
		s.line(t, n, &table)
		if n%4 == 3 {
			s.writeTable(t, "web1", table)
			s.purge(t, "web1", table.Sequence)
		}
	}
	close(done)
	asking.Wait()
}

func TestHelloPassesOverWhatIsNoBatch(t *testing.T) {
	s := newStand(t)
	var table wire.Table
	s.line(t, 0, &table)
	junk := nats.NewMsg(wire.LogSubject("web1"))
	junk.Data = []byte("no batch")
	seq, err := clustertest.Publish(s.agent, junk, s.name(), table.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	w := clustertest.Hello(t, s.agent, "web1", hello("a", 0))
	if w.Head != seq || w.Table.Sequence != seq || w.Table.Sources["/x"][0].Offset != 9 {
		t.Errorf("after a message that is no batch: %+v %+v", w, w.Table)
	}
	if err := s.agent.Publish(wire.LogSubject("web1"), []byte("no batch, and nothing expected")); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "it is stored", func() bool { return s.state(t).LastSeq > seq })
	table.Sequence = s.state(t).LastSeq
	w = clustertest.Hello(t, s.agent, "web1", hello("a", 0))
	if w.Refusal != "" || w.Head != table.Sequence || w.Table.Sources["/x"][0].Offset != 9 {
		t.Errorf("after a message that expects nothing: %+v %+v", w, w.Table)
	}
	s.line(t, 1, &table)
	w = clustertest.Hello(t, s.agent, "web1", hello("a", 0))
	if w.Head != table.Sequence || w.Table.Sources["/x"][0].Offset != 18 {
		t.Errorf("after the next batch: %+v %+v", w, w.Table)
	}
}

func TestHelloGoesOnBehindAHole(t *testing.T) {
	s := newStand(t)
	var table wire.Table
	for n := range uint64(4) {
		s.line(t, n, &table)
	}
	s.purge(t, "web1", 3) // no table was written: what these held is nowhere
	w := clustertest.Hello(t, s.agent, "web1", hello("a", 0))
	if w.Refusal != "" || w.Head != table.Sequence || w.Table.Sources["/x"][0].Offset != table.Sources["/x"][0].Offset {
		t.Errorf("got %+v %+v, want %+v", w, w.Table, table)
	}
}

func TestHelloRefusesAStreamThatWentBack(t *testing.T) {
	s := newStand(t)
	var table wire.Table
	s.line(t, 0, &table)
	table.Sequence += 7
	s.writeTable(t, "web1", table)
	if w := clustertest.Hello(t, s.agent, "web1", hello("a", 0)); !strings.Contains(w.Refusal, "lost its end") || w.Conflict {
		t.Errorf("got %+v", w)
	}
}

func TestHelloRefusesOtherVersionsAndNames(t *testing.T) {
	s := newStand(t)
	for name, c := range map[string]struct {
		host  string
		hello wire.Hello
		want  string
	}{
		"old agent": {"web1", wire.Hello{Version: wire.Version - 1, Writer: "w-a", Session: "s-a"}, "upgrade the agent"},
		"old hub":   {"web1", wire.Hello{Version: wire.Version + 1, Writer: "w-a", Session: "s-a"}, "upgrade the hub"},
		"bad host":  {"-web1", hello("a", 0), "invalid host name"},
	} {
		t.Run(name, func(t *testing.T) {
			if w := clustertest.Hello(t, s.agent, c.host, c.hello); !strings.Contains(w.Refusal, c.want) {
				t.Errorf("got refusal %q, want it to say %q", w.Refusal, c.want)
			}
		})
	}
}

func TestHelloTurnsAwayTheSecondAgentOfAHost(t *testing.T) {
	s := newStand(t)
	address := s.hub.Addresses().Leaf
	second := clustertest.StartLeaf(t, s.hub, "web1", "b", address)
	nc := second.Client(t)

	if w := clustertest.Hello(t, s.agent, "web1", hello("a", 0)); w.Refusal != "" {
		t.Fatalf("the first agent is refused: %s", w.Refusal)
	}
	w := clustertest.Hello(t, nc, "web1", hello("b", 0))
	if !w.Conflict || !strings.Contains(w.Refusal, "w-a") || !strings.Contains(w.Refusal, "127.0.0.1:") {
		t.Errorf("the second agent is told %+v", w)
	}
	if w := clustertest.Hello(t, nc, "web2", hello("b", 0)); w.Refusal != "" {
		t.Errorf("another host is refused: %s", w.Refusal)
	}

	// Whoever wrote the head stays, even when its link is the younger one.
	s.publish(t, "web1", []byte("x\n"), 0)
	third := clustertest.NewLeaf(t, cluster.LeafConfig{Host: "web1", Writer: "w-a", Session: "s-a2", Hubs: []string{address}, Secret: s.hub.Secret()})
	clustertest.Until(t, "third is linked", third.Linked)
	if w := clustertest.Hello(t, nc, "web1", hello("b", 0)); !w.Conflict {
		t.Errorf("the second agent is let in: %+v", w)
	}
	// A second process of the same writer: its state directory was copied.
	if w := clustertest.Hello(t, third.Client(t), "web1", wire.Hello{Version: wire.Version, Writer: "w-a", Session: "s-a2"}); !w.Conflict {
		t.Errorf("a copy of the first agent is let in: %+v", w)
	}
}

func TestTheNextAgentIsLetInWhenTheFirstIsGone(t *testing.T) {
	s := newStand(t)
	first := clustertest.StartLeaf(t, s.hub, "web9", "1", s.hub.Addresses().Leaf)
	second := clustertest.StartLeaf(t, s.hub, "web9", "2", s.hub.Addresses().Leaf)
	nc := second.Client(t)
	if w := clustertest.Hello(t, nc, "web9", hello("2", 0)); !w.Conflict {
		t.Fatalf("let in too early: %+v", w)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the second is let in", func() bool { return clustertest.Hello(t, nc, "web9", hello("2", 0)).Refusal == "" })
}

// All links are new after a restart of the hub. A second agent that is the first to be back must not take the host over.
func TestRestartedHubWaitsForTheAgentThatShippedTheHost(t *testing.T) {
	s := newStand(t)
	s.publish(t, "web1", []byte("x\n"), 0)
	s.agent.Close()
	cfg := clustertest.Config()
	cfg.StoreDir, cfg.Partitions, cfg.StreamBytes = s.hub.Dir, 1, 4<<20
	if err := s.hub.Stop(); err != nil {
		t.Fatal(err)
	}
	hub := clustertest.Start(t, cfg)
	second := clustertest.NewLeaf(t, cluster.LeafConfig{Host: "web1", Writer: "w-b", Session: "s-b", Hubs: []string{hub.Addresses().Leaf}, Secret: hub.Secret()}).Client(t)
	question, err := hello("b", 0).Encode()
	if err != nil {
		t.Fatal(err)
	}
	var answer *nats.Msg
	clustertest.Until(t, "hello is answered", func() bool {
		answer, err = second.Request(wire.HelloSubject("web1"), question, clustertest.Patience)
		return err == nil
	})
	if text := answer.Header.Get("Nats-Service-Error"); !strings.Contains(text, "just started") {
		t.Errorf("the second agent is told %q", text)
	}
	first := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf).Client(t)
	if w := clustertest.Hello(t, first, "web1", hello("a", 0)); w.Refusal != "" || w.Head != 1 {
		t.Errorf("the first agent is told %+v", w)
	}
	clustertest.Until(t, "the second is refused", func() bool {
		answer, err := second.Request(wire.HelloSubject("web1"), question, clustertest.Patience)
		if err != nil || answer.Header.Get("Nats-Service-Error") != "" {
			return false
		}
		w, err := wire.DecodeWelcome(answer.Data)
		return err == nil && w.Conflict
	})
}

func TestManyHellosAtOnce(t *testing.T) {
	s := newStand(t)
	const agents = 200
	s.publish(t, "web1", make([]byte, 256<<10), 0)
	data, err := hello("a", 0).Encode()
	if err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	for range agents {
		asking.Go(func() {
			msg, err := s.agent.Request(wire.HelloSubject("web1"), data, clustertest.Patience)
			if err != nil {
				t.Error(err)
				return
			}
			if w, err := wire.DecodeWelcome(msg.Data); err != nil || w.Head != 1 {
				t.Errorf("got %+v, %v", w, err)
			}
		})
	}
	asking.Wait()
}

// Whether a batch was stored is told by the chain alone: the bucket's leader may have gone with the node that did not acknowledge it.
func TestHelloTellsWhetherABatchWasStored(t *testing.T) {
	s := newStand(t)
	var table wire.Table
	s.line(t, 0, &table)
	before := table.Sequence
	s.line(t, 1, &table)
	if err := s.js.DeleteKeyValue(t.Context(), wire.Bucket); err != nil {
		t.Fatal(err)
	}
	header := func(n uint64, line string) map[string][]string {
		return clustertest.Batch("web1", "w-a", n, "/x", int64(n)*9, []byte(line)).Header
	}
	for _, c := range []struct {
		what   string
		after  uint64
		header map[string][]string
		stored bool
	}{
		{"the head", before, header(1, "line 001\n"), true},
		{"the head, but not behind that batch", before - 1, header(1, "line 001\n"), false},
		{"other bytes", before, header(1, "line 002\n"), false},
		{"another number", before, header(2, "line 001\n"), false},
		{"the one before the head", 0, header(0, "line 000\n"), false},
	} {
		ask := hello("a", c.after)
		ask.Tried = wire.Fingerprint(c.header)
		if w := clustertest.Hello(t, s.agent, "web1", ask); w.Stored != c.stored || w.Head != table.Sequence || w.Stream != s.name() || w.Table != nil {
			t.Errorf("%s: %+v, want stored %v and no table", c.what, w, c.stored)
		}
	}
}
