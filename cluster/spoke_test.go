package cluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// hubOfSpokes is a node alone that spokes may link to.
func hubOfSpokes(t *testing.T, address string) cluster.NodeConfig {
	cfg := plainConfig(t, nil, "")
	cfg.Nodes, cfg.Adapter, cfg.LeafListen = 1, nil, address
	cfg.Options = optionsOf("hub")
	return cfg
}

func optionsOf(domain string) func() (*server.Options, error) {
	return func() (*server.Options, error) {
		return &server.Options{
			Host: "127.0.0.1", Port: -1, JetStream: true, JetStreamDomain: domain, JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: 1 << 30,
		}, nil
	}
}

func TestSpokeStartsBeforeItsHub(t *testing.T) {
	first, second := clustertest.FreeAddress(t), clustertest.FreeAddress(t)
	far := &spoke{}
	far.name(first)
	cfg := plainConfig(t, far, "")
	cfg.Nodes, cfg.Options = 0, optionsOf("")
	s := startPlain(t, cfg)
	s.await()
	if err := s.Fault(); err == nil || !strings.Contains(err.Error(), "the hub is not reached") {
		t.Errorf("without a hub the fault is %v", err)
	}
	// It keeps what is its own.
	js := s.jetStream()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOCAL", Subjects: []string{"local"}}); err != nil {
		t.Fatal(err)
	}
	if domain := s.Server().JetStreamConfig().Domain; domain != "leaf-far-1" {
		t.Errorf("domain of the spoke is %q", domain)
	}

	h := startPlain(t, hubOfSpokes(t, first))
	h.await()
	clustertest.Until(t, "spoke reaches its hub", func() bool { return s.Fault() == nil })
	if _, err := h.jetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "CENTRAL", Subjects: []string{"central"}}); err != nil {
		t.Fatal(err)
	}
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	there, err := jetstream.NewWithDomain(nc, "hub")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := there.Publish(t.Context(), "central", []byte("x")); err != nil {
		t.Errorf("publish from the spoke: %v", err)
	}
	if _, err := js.Stream(t.Context(), "CENTRAL"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the hub's stream in the spoke's domain: %v", err)
	}

	// The hub moves; the spoke is told by its platform, without a restart.
	h.stop()
	far.name(second)
	moved := startPlain(t, hubOfSpokes(t, second))
	moved.await()
	clustertest.Until(t, "spoke reaches its hub at the new address", func() bool { return moved.Server().NumLeafNodes() == 1 })
}

// regions is the adapter of a node in one of several clusters with gateways between them.
type regions struct {
	mu    sync.Mutex // guards peers
	self  cluster.Self
	peers cluster.Peers
}

func (r *regions) Self(context.Context) (cluster.Self, error) { return r.self, nil }

func (r *regions) Peers(context.Context) (cluster.Peers, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers, nil
}

func (r *regions) set(change func(*cluster.Peers)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.peers)
}

func TestGatewaysOfTheStartStay(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes")
	}
	var routes []string
	for range 4 {
		routes = append(routes, clustertest.FreeAddress(t))
	}
	var here []string
	var nodes []*plainNode
	for range 3 {
		here = append(here, clustertest.FreeAddress(t))
	}
	adapters := make([]*regions, 3)
	for i := range adapters {
		gateways := map[string][]string{"one": here, "two": {clustertest.FreeAddress(t)}}
		adapters[i] = &regions{self: cluster.Self{Cluster: "one"}, peers: cluster.Peers{Routes: routes[:3], Gateways: gateways}}
		cfg := plainConfig(t, adapters[i], routes[i])
		cfg.GatewayListen, cfg.ForgetAfter = here[i], 300*time.Millisecond
		cfg.Options = func() (*server.Options, error) { return &server.Options{Host: "127.0.0.1", Port: -1}, nil }
		nodes = append(nodes, startPlain(t, cfg))
	}
	for _, n := range nodes {
		n.await()
	}
	known := func(n *plainNode) bool { return n.Fault() == nil }
	clustertest.Until(t, "node is well", func() bool { return known(nodes[0]) })

	// A machine of a known region and one of the own come: new routes are taken.
	adapters[0].set(func(p *cluster.Peers) {
		p.Routes = routes
		p.Gateways = map[string][]string{"one": here, "two": append(p.Gateways["two"], clustertest.FreeAddress(t))}
	})
	clustertest.Until(t, "the new route is taken", func() bool {
		v, err := nodes[0].Server().Varz(nil)
		return err == nil && len(v.Cluster.URLs) == 4
	})
	if err := nodes[0].Fault(); err != nil {
		t.Errorf("a machine of a known region came, and the fault is %v", err)
	}

	// A region comes: that takes a restart, and new routes are taken still.
	adapters[0].set(func(p *cluster.Peers) {
		p.Routes = routes[:3]
		p.Gateways = map[string][]string{"one": here, "two": p.Gateways["two"], "three": {clustertest.FreeAddress(t)}}
	})
	clustertest.Until(t, "the fault names the region", func() bool {
		err := nodes[0].Fault()
		return err != nil && strings.Contains(err.Error(), "three") && strings.Contains(err.Error(), "restart")
	})
	clustertest.Until(t, "the route that is gone is dropped", func() bool {
		v, err := nodes[0].Server().Varz(nil)
		return err == nil && len(v.Cluster.URLs) == 3
	})
}

// Two clusters that are joined by gateways have one JetStream, which all their machines found together.
func TestTwoRegionsWithGateways(t *testing.T) {
	slow(t)
	names := []string{"one", "two"}
	routes, gateways := map[string][]string{}, map[string][]string{}
	for _, name := range names {
		for range 3 {
			routes[name], gateways[name] = append(routes[name], clustertest.FreeAddress(t)), append(gateways[name], clustertest.FreeAddress(t))
		}
	}
	nodes := map[string][]*plainNode{}
	for _, name := range names {
		for i, address := range routes[name] {
			cfg := plainConfig(t, &regions{self: cluster.Self{Cluster: name}, peers: cluster.Peers{Routes: routes[name], Gateways: gateways}}, address)
			cfg.GatewayListen = gateways[name][i]
			nodes[name] = append(nodes[name], startPlain(t, cfg))
		}
	}
	for _, name := range names {
		for _, n := range nodes[name] {
			n.await()
		}
	}
	one, two := nodes["one"][0], nodes["two"][0]
	awaitMembers(t, one, 6)
	if _, err := one.jetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	afar := two.jetStream()
	if _, err := afar.Publish(t.Context(), "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s, err := afar.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if info := s.CachedInfo(); info.Cluster.Name != "one" || info.State.Msgs != 1 {
		t.Errorf("stream is in cluster %s with %d messages", info.Cluster.Name, info.State.Msgs)
	}
}
