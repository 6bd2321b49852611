// Package clustertest runs hubs and leaves inside tests, and a proxy that cuts, holds and delays what flows between them.
//
// Start runs a hub, StartLeaf a leaf that is linked to it (clustertest.go); StartCluster runs a hub of several nodes (cluster.go), StartProcesses each in a process of its own (process.go); Batch, Publish and Hello speak as an agent does (batch.go); StartProxy stands
// between them (proxy.go). StartDNS serves a zone that a test changes as it goes (dns.go).
//
// Everything it starts listens on loopback, on ports that the system chose, and ends with the test.
package clustertest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/wire"
)

// Patience is how long a test waits for what must happen. It is generous, so that a slow machine is not a failure.
const Patience = 30 * time.Second

// Config is a hub config for tests: any ports, few and small streams. Logger and StoreDir are set by Start when absent.
func Config() cluster.HubConfig {
	cfg := cluster.DefaultHubConfig()
	cfg.Listen, cfg.LeafListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Partitions, cfg.StreamBytes = 2, 64<<20
	return cfg
}

// Hub is a running hub.
type Hub struct {
	Dir string // its store, to start it again on
	*cluster.Hub
	running
}

// Start runs a hub and waits until it is ready.
func Start(t testing.TB, cfg cluster.HubConfig) *Hub {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = Logger(t)
	}
	if cfg.StoreDir == "" {
		cfg.StoreDir = t.TempDir()
	}
	hub, err := cluster.NewHub(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &Hub{Hub: hub, Dir: cfg.StoreDir}
	h.start(t, "hub", hub.Run, hub.Ready())
	return h
}

// Await waits until the hub is ready.
func (h *Hub) Await(t testing.TB) {
	t.Helper()
	h.await(t, "hub node", h.Ready())
}

// Receiver is a client of the hub in the account of the streams.
func (h *Hub) Receiver(t testing.TB) *nats.Conn {
	t.Helper()
	return closing(t)(h.Connect())
}

// Leaf is a running leaf.
type Leaf struct {
	*cluster.Leaf
	running
}

// StartLeaf runs the leaf of an agent of host, linked to the hub at address, and waits until what it publishes reaches the hub. Writer and session are made from name.
func StartLeaf(t testing.TB, h *Hub, host, name, address string) *Leaf {
	t.Helper()
	l := NewLeaf(t, cluster.LeafConfig{Host: host, Writer: "w-" + name, Session: "s-" + name, Hubs: []string{address}, Secret: h.Secret()})
	Until(t, "leaf is linked", l.Linked)
	nc, err := l.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// The hub tells a new link what it listens to a moment after it is up. Whatever it answers to this, it listens.
	Until(t, "the hub listens", func() bool {
		_, err := nc.Request(wire.HelloSubject(host), nil, Patience)
		return !errors.Is(err, nats.ErrNoResponders)
	})
	return l
}

// NewLeaf runs a leaf and does not wait for its link.
func NewLeaf(t testing.TB, cfg cluster.LeafConfig) *Leaf {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = Logger(t)
	}
	leaf, err := cluster.NewLeaf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := &Leaf{Leaf: leaf}
	l.start(t, "leaf", leaf.Run, leaf.Ready())
	return l
}

// Client is a client of the leaf, as the agent has it.
func (l *Leaf) Client(t testing.TB) *nats.Conn {
	t.Helper()
	return closing(t)(l.Connect())
}

func closing(t testing.TB) func(*nats.Conn, error) *nats.Conn {
	return func(nc *nats.Conn, err error) *nats.Conn {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
}

// running is a part whose Run was called.
type running struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of Run; read after ended is closed
}

func (r *running) start(t testing.TB, what string, run func(context.Context) error, ready <-chan struct{}) {
	t.Helper()
	r.begin(t, what, run)
	r.await(t, what, ready)
}

func (r *running) begin(t testing.TB, what string, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan struct{})
	go func() {
		defer close(r.ended)
		r.err = run(ctx)
	}()
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Errorf("%s ended with: %v", what, err)
		}
	})
}

func (r *running) await(t testing.TB, what string, ready <-chan struct{}) {
	t.Helper()
	select {
	case <-ready:
	case <-r.ended:
		t.Fatalf("%s did not start: %v", what, r.err)
	case <-time.After(Patience):
		t.Fatalf("%s is not ready", what)
	}
}

// Ended says that the part has ended.
func (r *running) Ended() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// Stop ends the part, waits for its end and gives the error of its Run.
func (r *running) Stop() error {
	r.cancel()
	<-r.ended
	return r.err
}

// Until polls until what is true.
func Until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Logger writes to the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}
