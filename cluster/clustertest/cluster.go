package clustertest

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
)

// Secret is what the nodes of a test's cluster share.
const Secret = "secret-of-the-test"

// Platform is an adapter that names the nodes it was told of.
type Platform struct {
	mu    sync.Mutex // guards what follows
	peers []string
	fault error
}

// Self leaves all to the config.
func (p *Platform) Self(context.Context) (cluster.Self, error) { return cluster.Self{}, nil }

// Peers are those that were named last, or the fault.
func (p *Platform) Peers(context.Context) (cluster.Peers, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cluster.Peers{Routes: slices.Clone(p.peers)}, p.fault
}

// Name sets the nodes that it names.
func (p *Platform) Name(peers ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peers = slices.Clone(peers)
}

// Named are the nodes that it names.
func (p *Platform) Named() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.peers)
}

// Fail makes it answer with an error; nil: no more.
func (p *Platform) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = err
}

// InZone is an adapter as it answers in a zone.
func InZone(a cluster.Adapter, zone string) cluster.Adapter { return inZone{a, zone} }

type inZone struct {
	cluster.Adapter
	zone string
}

func (a inZone) Self(ctx context.Context) (cluster.Self, error) {
	self, err := a.Adapter.Self(ctx)
	self.Zone = a.zone
	return self, err
}

// Cluster is the nodes of one hub.
type Cluster struct {
	*Platform
	Nodes []*Hub
	t     testing.TB
	cfg   cluster.HubConfig
	each  []func(node int, cfg *cluster.HubConfig)
}

// StartCluster runs a hub of several nodes, started at once, and waits until all are ready. What each is told of a node may change the config of that one.
func StartCluster(t testing.TB, nodes int, cfg cluster.HubConfig, each ...func(node int, cfg *cluster.HubConfig)) *Cluster {
	t.Helper()
	c := &Cluster{Platform: &Platform{}, t: t, cfg: cfg, each: each}
	c.cfg.Nodes, c.cfg.Secret, c.cfg.Adapter, c.cfg.DiscoverEvery = nodes, Secret, c.Platform, 200*time.Millisecond
	for range nodes {
		c.Name(append(c.Named(), FreeAddress(t))...)
	}
	var starting []func()
	for _, address := range c.Named() {
		h, await := c.begin(address, t.TempDir())
		c.Nodes, starting = append(c.Nodes, h), append(starting, await)
	}
	for _, await := range starting {
		await()
	}
	return c
}

// begin starts a node and does not wait for it.
func (c *Cluster) begin(address, dir string) (h *Hub, await func()) {
	c.t.Helper()
	cfg := c.cfg
	cfg.ClusterListen, cfg.StoreDir = address, dir
	for _, change := range c.each {
		change(slices.Index(c.Named(), address), &cfg)
	}
	if cfg.Logger == nil {
		cfg.Logger = Logger(c.t)
	}
	hub, err := cluster.NewHub(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	h = &Hub{Hub: hub, Dir: cfg.StoreDir}
	h.begin(c.t, "hub node", hub.Run)
	return h, func() { c.t.Helper(); h.Await(c.t) }
}

// Restart runs node i again on its store, after it was stopped, and waits until it is ready.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	h, await := c.begin(c.Named()[i], c.Nodes[i].Dir)
	c.Nodes[i] = h
	await()
}

// StartOn runs node i again, after it was stopped and perhaps not as it was, and does not wait for it.
func (c *Cluster) StartOn(i int, change func(*cluster.HubConfig)) *Hub {
	c.t.Helper()
	each := c.each
	c.each = append(slices.Clone(each), func(_ int, cfg *cluster.HubConfig) { change(cfg) })
	h, _ := c.begin(c.Named()[i], c.Nodes[i].Dir)
	c.each, c.Nodes[i] = each, h
	return h
}

// RestartAll runs all nodes again on their stores, after they were stopped.
func (c *Cluster) RestartAll() {
	c.t.Helper()
	var starting []func()
	for i, address := range c.Named() {
		h, await := c.begin(address, c.Nodes[i].Dir)
		c.Nodes[i], starting = h, append(starting, await)
	}
	for _, await := range starting {
		await()
	}
}

// Join runs a further node with an empty store, and waits until it is ready.
func (c *Cluster) Join() *Hub {
	c.t.Helper()
	address := FreeAddress(c.t)
	c.Name(append(c.Named(), address)...)
	h, await := c.begin(address, c.t.TempDir())
	c.Nodes = append(c.Nodes, h)
	await()
	return h
}

// given are the addresses that FreeAddress and FreeAddressOn found.
var given sync.Map

// FreeAddress is a port of loopback that nobody listens at now: nodes must know each other's before they start.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return FreeAddressOn(t, "127.0.0.1")
}

// FreeAddressOn is FreeAddress for another address of loopback. The port is below those that the system gives away by itself, so that neither a connection nor another test takes it while its
// owner is not there yet, or dead.
func FreeAddressOn(t testing.TB, host string) string {
	t.Helper()
	for range 1000 {
		address := net.JoinHostPort(host, strconv.Itoa(12000+rand.IntN(18000)))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
