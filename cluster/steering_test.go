package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// site is a hub of several nodes, each of which agents reach through a proxy that it advertises.
type site struct {
	*clustertest.Cluster
	t       testing.TB
	proxies []*clustertest.Proxy
}

func newSite(t testing.TB, nodes int) *site {
	t.Helper()
	s := &site{t: t}
	s.Cluster = clustertest.StartCluster(t, nodes, clustertest.Config(), s.advertise)
	s.aim()
	scout := s.leaf("scout", s.proxies[0].Leaf())
	clustertest.Until(t, "the nodes know each other", func() bool { return scout.Link().Known == nodes })
	if err := scout.Stop(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) advertise(node int, cfg *cluster.HubConfig) {
	for node >= len(s.proxies) {
		s.proxies = append(s.proxies, clustertest.StartProxy(s.t, "127.0.0.1:1"))
	}
	cfg.Advertise.Leaf = s.proxies[node].Address()
}

// aim lets the proxies lead to the nodes, which have new ports after each start.
func (s *site) aim() {
	for i, h := range s.Nodes {
		s.proxies[i].Target(h.Addresses().Leaf)
	}
}

// leaf starts an agent's leaf that is given the address of some of the nodes.
func (s *site) leaf(name string, hubs ...string) *clustertest.Leaf {
	s.t.Helper()
	return clustertest.NewLeaf(s.t, cluster.LeafConfig{Host: name, Writer: "w-" + name, Session: "s-" + name, Hubs: hubs, Secret: clustertest.Secret})
}

// counts are how many links lead to each node.
func (s *site) counts() (counts []int, sum int) {
	for _, p := range s.proxies {
		counts, sum = append(counts, p.Connections()), sum+p.Connections()
	}
	return counts, sum
}

// at is the node to which the one leaf of a site is linked, or -1.
func (s *site) at(leaf *clustertest.Leaf) int {
	link := leaf.Link()
	for i, p := range s.proxies {
		if link.Up && link.Hub == p.Leaf() {
			return i
		}
	}
	return -1
}

// settled waits until that leaf is at a node: it may be on its way to its share.
func (s *site) settled(leaf *clustertest.Leaf) (at int) {
	s.t.Helper()
	clustertest.Until(s.t, "the leaf is at a node", func() bool { at = s.at(leaf); return at >= 0 })
	return at
}

func TestLeafLearnsTheNodesAndFailsOver(t *testing.T) {
	slow(t)
	s := newSite(t, 3)
	leaf := s.leaf("web1", s.proxies[0].Leaf())
	clustertest.Until(t, "the leaf knows three nodes", func() bool { return leaf.Link().Known == 3 && s.at(leaf) >= 0 })
	nc := leaf.Client(t)
	for range 6 {
		at := s.settled(leaf)
		start := time.Now()
		s.proxies[at].Cut()
		clustertest.Until(t, "the leaf is linked elsewhere", func() bool { return s.at(leaf) >= 0 && s.at(leaf) != at })
		linked := time.Since(start)
		clustertest.Until(t, "a hub node answers", func() bool {
			question, _ := hello("web1", 0).Encode()
			_, err := nc.Request(wire.HelloSubject("web1"), question, 100*time.Millisecond)
			return err == nil
		})
		t.Logf("from node %d to %d: linked after %v, served after %v", at, s.at(leaf), linked, time.Since(start))
		s.proxies[at].Heal()
	}
}

// A node that no longer moves anything, while its connections stay open, is left long before the server's own pings notice it (15 s), and what was under way is
// stored once. The node that held it still has the old link then.
func TestLeafLeavesABlackHole(t *testing.T) {
	slow(t)
	s := newSite(t, 3)
	leaf := s.leaf("web1", s.proxies[0].Leaf(), s.proxies[1].Leaf(), s.proxies[2].Leaf())
	clustertest.Until(t, "the link has a pulse", func() bool { return s.at(leaf) >= 0 && leaf.Link().Node != "" })
	ship := ship(t, leaf.Client(t), "web1")
	ship.publish()
	at, start := s.settled(leaf), time.Now()
	s.proxies[at].Blackhole()
	clustertest.Until(t, "the leaf is linked elsewhere", func() bool { return s.at(leaf) >= 0 && s.at(leaf) != at })
	after := time.Since(start)
	ship.publish()
	if link := leaf.Link(); !strings.Contains(link.Fault, "nothing has come over it") {
		t.Errorf("it was not the watchdog: %+v", link)
	}
	t.Logf("rebuilt after %v, the next batch is stored after %v", after, time.Since(start))
	s.proxies[at].Release()
	for range 20 {
		ship.publish()
	}
	ship.check()
}

func TestLeafOfOneHubLeavesABlackHole(t *testing.T) {
	slow(t)
	hub := clustertest.Start(t, clustertest.Config())
	proxy := clustertest.StartProxy(t, hub.Addresses().Leaf)
	leaf := clustertest.StartLeaf(t, hub, "web1", "web1", proxy.Leaf())
	clustertest.Until(t, "the link has a pulse", func() bool { return leaf.Link().Node != "" })
	ship := ship(t, leaf.Client(t), "web1")
	ship.publish()
	proxy.Blackhole()
	start := time.Now()
	clustertest.Until(t, "the leaf gives the link up", func() bool { return !leaf.Linked() })
	if link := leaf.Link(); !strings.Contains(link.Fault, "nothing has come over it") {
		t.Errorf("it was not the watchdog: %+v", link)
	}
	t.Logf("given up after %v", time.Since(start))
	proxy.Heal() // for new connections: the old one stays as it is
	clustertest.Until(t, "the leaf is linked", leaf.Linked)
	ship.publish()
	proxy.Release()
	ship.publish()
	ship.check()
}

// A hub that refuses everything, since its streams are full, is well: nothing is rebuilt.
func TestLeafStaysAtAFullHub(t *testing.T) {
	slow(t)
	cfg := clustertest.Config()
	cfg.StreamBytes = 1 << 20
	hub := clustertest.Start(t, cfg)
	proxy := clustertest.StartProxy(t, hub.Addresses().Leaf)
	leaf := clustertest.StartLeaf(t, hub, "web1", "a", proxy.Leaf())
	nc := leaf.Client(t)
	w := clustertest.Hello(t, nc, "web1", hello("a", 0))
	batch := make([]byte, 200<<10)
	head, refused := uint64(0), 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		sequence, err := clustertest.Publish(nc, clustertest.Batch("web1", "w-a", 1, "/x", 0, batch), w.Stream, head)
		if err != nil {
			refused++
			continue
		}
		head = sequence
	}
	if refused == 0 {
		t.Fatal("the hub is not full")
	}
	if link := leaf.Link(); !link.Up || link.Fault != "" {
		t.Errorf("the link was not left alone: %+v", link)
	}
}

// Neither is one that answers nothing about its streams: the question of the pulse goes past them.
func TestLeafStaysWhereItsPartitionIsMute(t *testing.T) {
	slow(t)
	s := newSite(t, 3)
	leaf := s.leaf("web1", s.proxies[0].Leaf(), s.proxies[1].Leaf(), s.proxies[2].Leaf())
	clustertest.Until(t, "the leaf is linked", func() bool { return s.at(leaf) >= 0 })
	nc := leaf.Client(t)
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); {
		// Nothing is stored under the name of another stream, and nothing that comes back says that the link lives.
		if err := nc.Publish("logs.web1", []byte("not even a batch")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if link := leaf.Link(); strings.Contains(link.Fault, "nothing has come over it") { // it may have gone where fewer agents are
		t.Errorf("it was given up: %+v", link)
	}
}

func TestAgentsSpreadOverTheNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("60 leaves")
	}
	const leaves = 60
	s := newSite(t, 3)
	var all []*clustertest.Leaf
	for i := range leaves {
		all = append(all, s.leaf(fmt.Sprintf("web%d", i), s.proxies[0].Leaf()))
	}
	settled := func(what string, nodes int) {
		t.Helper()
		clustertest.Until(t, what, func() bool {
			_, sum := s.counts()
			return sum == leaves && !slices.ContainsFunc(all, func(l *clustertest.Leaf) bool { return !l.Linked() })
		})
		counts, _ := s.counts()
		t.Logf("%s: %v", what, counts)
		for node, n := range counts {
			if n > 2*leaves/nodes {
				t.Errorf("%s: node %d has %d of %d", what, node, n, leaves)
			}
		}
	}
	clustertest.Until(t, "all know all nodes", func() bool {
		return !slices.ContainsFunc(all, func(l *clustertest.Leaf) bool { return l.Link().Known < 3 })
	})
	settled("given one address", 3)
	start := time.Now()
	s.proxies[1].Cut()
	settled("one node lost", 2)
	t.Logf("all went over within %v", time.Since(start))
}

// Nodes that come are learnt, and get their share of the agents; those that go are forgotten.
func TestLeafLearnsOfNodesThatComeAndGo(t *testing.T) {
	slow(t)
	s := newSite(t, 3)
	leaf := s.leaf("web1", s.proxies[0].Leaf())
	clustertest.Until(t, "the leaf knows three nodes", func() bool { return leaf.Link().Known == 3 })
	h := s.Join()
	s.aim()
	clustertest.Until(t, "the leaf knows four nodes", func() bool { return leaf.Link().Known == 4 })
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the leaf knows three nodes again", func() bool { return leaf.Link().Known == 3 && leaf.Linked() })
}

// A node that ends in good order sends its agents away first.
func TestLeafLeavesANodeThatEnds(t *testing.T) {
	slow(t)
	s := newSite(t, 3)
	leaf := s.leaf("web1", s.proxies[0].Leaf())
	clustertest.Until(t, "the leaf knows three nodes", func() bool { return leaf.Link().Known == 3 && s.at(leaf) >= 0 })
	ship := ship(t, leaf.Client(t), "web1")
	ship.publish()
	at, start := s.settled(leaf), time.Now()
	ended := make(chan error)
	go func() { ended <- s.Nodes[at].Stop() }()
	clustertest.Until(t, "the leaf is linked elsewhere", func() bool { return s.at(leaf) >= 0 && s.at(leaf) != at })
	t.Logf("linked elsewhere after %v", time.Since(start))
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	t.Logf("the node ended after %v", time.Since(start))
	ship.publish()
	ship.check()
}
