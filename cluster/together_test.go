package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// shipping publishes a host's chain as an agent does: the same bytes again until they are acknowledged or hello tells that they were stored.
type shipping struct {
	t     *testing.T
	nc    *nats.Conn
	host  string
	where wire.Welcome
	count uint64
}

func ship(t *testing.T, nc *nats.Conn, host string) *shipping {
	t.Helper()
	s := &shipping{t: t, nc: nc, host: host}
	s.hello()
	return s
}

func (s *shipping) hello() {
	s.t.Helper()
	clustertest.Until(s.t, "hello is answered", func() bool {
		where, err := clustertest.TryHello(s.nc, s.host, wire.Hello{Version: wire.Version, Writer: "w-" + s.host, Session: "s-" + s.host})
		if err != nil || where.Refusal != "" || where.Stream == "" {
			return false
		}
		s.where = where
		return true
	})
}

// publish ships one more line of seven bytes.
func (s *shipping) publish() {
	s.t.Helper()
	raw := fmt.Appendf(nil, "%06d\n", s.count)
	clustertest.Until(s.t, "batch is acknowledged", func() bool {
		head, err := clustertest.Publish(s.nc, clustertest.Batch(s.host, "w-"+s.host, s.count, "/x", int64(s.count)*7, raw), s.where.Stream, s.where.Head)
		if err == nil {
			s.where.Head = head
			return true
		}
		before := s.where.Head
		s.hello()
		return s.where.Head != before // it was stored, and its answer was lost
	})
	s.count++
}

// check compares what the hub holds, as its streams' leaders tell, with what was acknowledged.
func (s *shipping) check() {
	s.t.Helper()
	s.hello()
	if got := s.where.Table.Sources["/x"][0].Offset; got != int64(s.count)*7 {
		s.t.Errorf("the chain of %s ends at byte %d, shipped were %d", s.host, got, s.count*7)
	}
}

// linked is an agent's client of a hub node.
func linked(t *testing.T, h *clustertest.Hub, host string) *nats.Conn {
	t.Helper()
	return clustertest.StartLeaf(t, h, host, host, h.Addresses().Leaf).Client(t)
}

func streamsAreWhole(t *testing.T, h *clustertest.Hub) {
	t.Helper()
	js, err := jetstream.New(h.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "every stream has three current replicas", func() bool {
		list := js.ListStreams(t.Context())
		count := 0
		for s := range list.Info() {
			count++
			if s.Config.Replicas != 3 || s.Cluster == nil || s.Cluster.Leader == "" || len(s.Cluster.Replicas) != 2 {
				return false
			}
			for _, r := range s.Cluster.Replicas {
				if !r.Current {
					return false
				}
			}
		}
		return list.Err() == nil && count == 3 // two partitions and the bucket
	})
}

func TestThreeNodesFoundAHub(t *testing.T) {
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	var streams []string
	for i, h := range c.Nodes {
		s := ship(t, linked(t, h, fmt.Sprintf("web%d", i)), fmt.Sprintf("web%d", i))
		for range 5 {
			s.publish()
		}
		s.check()
		streams = append(streams, s.where.Stream[:len(s.where.Stream)-1])
	}
	if streams[0] != streams[1] || streams[1] != streams[2] {
		t.Errorf("the nodes have different layouts: %v", streams)
	}
	streamsAreWhole(t, c.Nodes[0])
}

func TestHubLosesAnyNode(t *testing.T) {
	slow(t)
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	for i := range c.Nodes {
		s := ship(t, linked(t, c.Nodes[(i+1)%3], fmt.Sprintf("web%d", i)), fmt.Sprintf("web%d", i))
		s.publish()
		if err := c.Nodes[i].Stop(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.publish()
		t.Logf("node %d stopped: the next batch is acknowledged after %v", i, time.Since(began))
		for range 20 {
			s.publish()
		}
		s.check()
		c.Restart(i)
		s.check()
		streamsAreWhole(t, c.Nodes[i])
	}
	for _, h := range c.Nodes {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	c.RestartAll()
	for i := range c.Nodes {
		s := ship(t, linked(t, c.Nodes[i], fmt.Sprintf("web%d", i)), fmt.Sprintf("web%d", i))
		if got := s.where.Table.Sources["/x"][0].Offset; got != 22*7 {
			t.Errorf("web%d: %d bytes after the restart of all", i, got)
		}
	}
}

// Whoever restarts one node after the other waits for this: with a second one gone, no stream that the first has not caught up with takes anything.
func TestNodeHasAFaultUntilItHasWhatItMissed(t *testing.T) {
	slow(t)
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	if err := c.Nodes[2].Stop(); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(c.Nodes[0].Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	var last *jetstream.PubAck
	for i := 0; i < 48; {
		if ack, err := js.Publish(t.Context(), wire.PartSubject(1, 0, "web1"), make([]byte, 1<<20)); err == nil { // else a leader is being elected
			last, i = ack, i+1
		}
	}
	c.Restart(2)
	clustertest.Until(t, "the node has no fault", func() bool { return c.Nodes[2].Fault() == nil })
	if held := c.Nodes[2].Held(last.Stream); held < last.Sequence {
		t.Errorf("the node has no fault, and %d of %d batches", held, last.Sequence)
	}
	streamsAreWhole(t, c.Nodes[2])
}

func TestEmptyNodeJoinsAHub(t *testing.T) {
	slow(t)
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	before := ship(t, linked(t, c.Nodes[0], "web1"), "web1")
	before.publish()
	h := c.Join()
	s := ship(t, linked(t, h, "web2"), "web2")
	s.publish()
	s.check()
	before.publish()
	before.check()
}

// Two agents of one name on different nodes: whoever wrote the head stays.
func TestConflictIsSeenAcrossNodes(t *testing.T) {
	slow(t)
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	first := ship(t, linked(t, c.Nodes[0], "web1"), "web1")
	first.publish()
	second := clustertest.StartLeaf(t, c.Nodes[1], "web1", "other", c.Nodes[1].Addresses().Leaf).Client(t)
	ask := wire.Hello{Version: wire.Version, Writer: "w-other", Session: "s-other"}
	var w wire.Welcome
	clustertest.Until(t, "the second is refused", func() bool {
		var err error
		w, err = clustertest.TryHello(second, "web1", ask)
		return err == nil
	})
	if !w.Conflict {
		t.Errorf("a second agent of web1 is let in: %+v", w)
	}
	first.publish()
	first.check()
}

// After a node was away it leads its share again, also while batches come without end.
func TestLeadersSpreadOverTheNodes(t *testing.T) {
	slow(t)
	cfg := clustertest.Config()
	cfg.Partitions, cfg.StreamBytes = 6, 64<<20
	c := clustertest.StartCluster(t, 3, cfg)
	js, err := jetstream.New(c.Nodes[1].Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	spread := func() bool {
		leads := map[string]int{}
		list := js.ListStreams(t.Context())
		for s := range list.Info() {
			if _, _, _, err := wire.ParseStream(s.Config.Name); err == nil && s.Cluster != nil {
				leads[s.Cluster.Leader]++
			}
		}
		return list.Err() == nil && len(leads) == 3 && leads[c.Nodes[0].Name()] == 2 && leads[c.Nodes[1].Name()] == 2
	}
	clustertest.Until(t, "each node leads two streams", spread)
	publishToAll(t, js, cfg.Partitions)
	if err := c.Nodes[0].Stop(); err != nil {
		t.Fatal(err)
	}
	c.Restart(0)
	clustertest.Until(t, "each node leads two streams again", spread)
}

// publishToAll keeps batches on their way in every partition until the test ends.
func publishToAll(t *testing.T, js jetstream.JetStream, partitions int) {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { stop(); all.Wait() })
	for p := range 2 * partitions {
		all.Go(func() {
			for ctx.Err() == nil {
				// While its stream has no leader it fails; that the stream is full makes no difference, either: it is led all the same.
				_, _ = js.Publish(ctx, wire.PartSubject(1, p%partitions, fmt.Sprintf("host%d", p)), make([]byte, 100))
			}
		})
	}
}

func TestCopiesAreInDifferentZones(t *testing.T) {
	slow(t)
	c := startZones(t, "a", "a", "b", "b", "c")
	for name, zones := range c.streams(t) {
		if slices.Sort(zones); !slices.Equal(zones, []string{"a", "b", "c"}) {
			t.Errorf("stream %s is in zones %v", name, zones)
		}
	}
}

// The last node of a zone can leave though no other zone may have its copies: there is one less until a node of that zone comes. So is an instance replaced whose replacement comes up elsewhere first.
func TestTheLastNodeOfAZoneLeaves(t *testing.T) {
	slow(t)
	c := startZones(t, "a", "b", "c")
	c.zones = append(c.zones, "a", "b")
	c.Join()
	c.Nodes[1].Leave()
	clustertest.Until(t, "the node of zone b has left", c.Nodes[1].Ended)
	c.Join()
	clustertest.Until(t, "all streams have three copies again, in different zones", func() bool {
		streams := c.streams(t)
		for _, zones := range streams {
			if slices.Sort(zones); !slices.Equal(zones, []string{"a", "b", "c"}) {
				return false
			}
		}
		return len(streams) > 0
	})
}

// zoned is a hub whose nodes are in zones.
type zoned struct {
	*clustertest.Cluster
	zones []string // of node by node
	js    jetstream.JetStream
}

func startZones(t *testing.T, zones ...string) *zoned {
	t.Helper()
	cfg := clustertest.Config()
	cfg.Partitions, cfg.StreamBytes = 6, 8<<20
	z := &zoned{zones: zones}
	z.Cluster = clustertest.StartCluster(t, len(zones), cfg, func(node int, cfg *cluster.HubConfig) { cfg.Adapter = clustertest.InZone(cfg.Adapter, z.zones[node]) })
	var err error
	if z.js, err = jetstream.New(z.Nodes[0].Receiver(t)); err != nil {
		t.Fatal(err)
	}
	return z
}

// streams are the zones of each stream's copies.
func (z *zoned) streams(t *testing.T) map[string][]string {
	t.Helper()
	of := map[string]string{}
	for i, h := range z.Nodes {
		of[h.Name()] = z.zones[i]
	}
	streams := map[string][]string{}
	list := z.js.ListStreams(t.Context())
	for s := range list.Info() {
		streams[s.Config.Name] = []string{of[s.Cluster.Leader]}
		for _, r := range s.Cluster.Replicas {
			streams[s.Config.Name] = append(streams[s.Config.Name], of[r.Name])
		}
	}
	if err := list.Err(); err != nil {
		t.Log(err)
		return nil
	}
	return streams
}

// A leader that was frozen may know less than a table for a moment. An agent that is told that its stream has lost its end would end itself.
func TestLostEndIsDoubtedOnSeveralNodes(t *testing.T) {
	slow(t)
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	s := ship(t, linked(t, c.Nodes[0], "web1"), "web1")
	s.publish()
	js, err := jetstream.New(c.Nodes[0].Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	s.hello()
	table := *s.where.Table
	table.Sequence += 7
	data, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), wire.TableKey(s.where.Stream, "web1"), data); err != nil {
		t.Fatal(err)
	}
	ask := wire.Hello{Version: wire.Version, Writer: "w-web1", Session: "s-web1"}
	for range 5 {
		if w, err := clustertest.TryHello(s.nc, "web1", ask); err == nil {
			t.Errorf("hello is answered: %+v", w)
		}
	}
	if err := bucket.Delete(t.Context(), wire.TableKey(s.where.Stream, "web1")); err != nil {
		t.Fatal(err)
	}
	s.publish()
}
