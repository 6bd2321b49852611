package cluster_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// spoke is the adapter of a node that is linked to a hub.
type spoke struct {
	mu     sync.Mutex // guards leaves
	leaves []string
}

func (s *spoke) Self(context.Context) (cluster.Self, error) {
	return cluster.Self{Name: "spoke", Cluster: "spoke-1", Nodes: 1, Region: "far", Spoke: true, Domain: "leaf-far-1"}, nil
}

func (s *spoke) Peers(context.Context) (cluster.Peers, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cluster.Peers{Leaves: s.leaves}, nil
}

func (s *spoke) name(leaves ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaves = leaves
}

func relayConfig(s *spoke) cluster.HubConfig {
	cfg := clustertest.Config()
	cfg.Nodes, cfg.ClusterListen, cfg.Secret, cfg.Adapter = 3, "127.0.0.1:0", clustertest.Secret, s // a spoke is one node, whatever the config says
	return cfg
}

func leafBehind(t *testing.T, h *clustertest.Hub, host string) *clustertest.Leaf {
	t.Helper()
	l := clustertest.NewLeaf(t, cluster.LeafConfig{Host: host, Writer: "w-" + host, Session: "s-" + host, Hubs: []string{h.Addresses().Leaf}, Secret: clustertest.Secret})
	clustertest.Until(t, "agent is linked to the relay", l.Linked)
	return l
}

func agentBehind(t *testing.T, h *clustertest.Hub, host string) *nats.Conn {
	t.Helper()
	return leafBehind(t, h, host).Client(t)
}

func TestRelay(t *testing.T) {
	hubAddress := clustertest.FreeAddress(t)
	far := &spoke{}
	far.name(hubAddress)
	relay := clustertest.Start(t, relayConfig(far))
	if err := relay.Fault(); err == nil || !strings.Contains(err.Error(), "the hub is not reached") {
		t.Errorf("without a hub the relay's fault is %v", err)
	}
	leaf := leafBehind(t, relay, "web1")
	agent := leaf.Client(t)

	cfg := clustertest.Config()
	cfg.LeafListen, cfg.Secret = hubAddress, clustertest.Secret
	hub := clustertest.Start(t, cfg)
	web1 := ship(t, agent, "web1")
	web1.publish()
	if err := relay.Fault(); err != nil {
		t.Errorf("with its hub the relay's fault is %v", err)
	}

	if err := hub.Stop(); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "relay says that the hub is gone", func() bool { return relay.Fault() != nil })
	cfg.StoreDir = hub.Dir
	hub = clustertest.Start(t, cfg)
	web1.publish()
	direct := clustertest.StartLeaf(t, hub, "web2", "web2", hub.Addresses().Leaf).Client(t)
	ship(t, direct, "web2").publish()
	if link := leaf.Link(); !link.Up || link.Fault != "" {
		t.Errorf("the agent's own link was touched: %+v", link)
	}
	if _, err := relay.Connect(); err == nil {
		t.Error("a receiver connects to a relay")
	}
}

// A relay goes from a node of the hub that ends to another, and its agents notice nothing but the pause.
func TestRelayGoesToAnotherNode(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes")
	}
	t.Parallel()
	s := newSite(t, 3)
	far := &spoke{}
	far.name(s.proxies[0].Address(), s.proxies[1].Address(), s.proxies[2].Address())
	relay := clustertest.Start(t, relayConfig(far))
	web1 := ship(t, agentBehind(t, relay, "web1"), "web1")
	web1.publish()
	for i, p := range s.proxies {
		if p.Connections() > 0 {
			p.Cut()
			if err := s.Nodes[i].Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	web1.publish()
	if err := relay.Fault(); err != nil {
		t.Errorf("the fault of the relay is %v", err)
	}
}

// A link to the hub that is up but moves nothing is made anew.
func TestRelayLeavesADeadLink(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several questions without an answer")
	}
	t.Parallel()
	cfg := clustertest.Config()
	cfg.Secret = clustertest.Secret
	hub := clustertest.Start(t, cfg)
	proxy := clustertest.StartProxy(t, hub.Addresses().Leaf)
	far := &spoke{}
	far.name(proxy.Address())
	relayed := relayConfig(far)
	relay := clustertest.Start(t, relayed)
	web1 := ship(t, agentBehind(t, relay, "web1"), "web1")
	web1.publish()
	proxy.Blackhole()
	proxy.Heal()
	web1.publish()
}

// What one agent may not do ends its own link, not the one that all share.
func TestRelayKeepsAgentsToTheirSubjects(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Secret = clustertest.Secret
	hub := clustertest.Start(t, cfg)
	far := &spoke{}
	far.name(strings.TrimPrefix(hub.Addresses().Leaf, "nats-leaf://"))
	relay := clustertest.Start(t, relayConfig(far))
	good, bad := agentBehind(t, relay, "web1"), agentBehind(t, relay, "web2")
	ship(t, good, "web1").publish()
	heard, err := bad.SubscribeSync("logs.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.Publish("part.1.0.web1", []byte("forged")); err != nil {
		t.Fatal(err)
	}
	web1 := ship(t, good, "web1")
	web1.count = 1
	web1.publish()
	if n, _, err := heard.Pending(); n != 0 || err != nil {
		t.Errorf("an agent heard %d batches of another, %v", n, err)
	}
}
