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

func agentBehind(t *testing.T, h *clustertest.Hub, host string) *nats.Conn {
	t.Helper()
	l := clustertest.NewLeaf(t, cluster.LeafConfig{Host: host, Writer: "w-" + host, Session: "s-" + host, Hubs: []string{h.Addresses().Leaf}, Secret: clustertest.Secret})
	clustertest.Until(t, "agent is linked to the relay", l.Linked)
	return l.Client(t)
}

func TestRelay(t *testing.T) {
	hubAddress := clustertest.FreeAddress(t)
	far := &spoke{}
	far.name(hubAddress)
	relay := clustertest.Start(t, relayConfig(far))
	if err := relay.Fault(); err == nil || !strings.Contains(err.Error(), "the hub is not reached") {
		t.Errorf("without a hub the relay's fault is %v", err)
	}
	agent := agentBehind(t, relay, "web1")

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
	if _, err := relay.Connect(); err == nil {
		t.Error("a receiver connects to a relay")
	}
}
