package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
)

// stopTimeout bounds the end of a server that no longer answers. Everything acknowledged is on disk by then.
const stopTimeout = 30 * time.Second

// leaderTimeout is how long an answer of JetStream in a cluster is waited for before it is asked again.
const leaderTimeout = 2 * time.Second

// Hub is a hub node: a NATS server with the accounts, streams and services of logdrive. Run owns it; the other methods
// may be called from any goroutine, but for Ready only once Ready is closed.
type Hub struct {
	cfg      HubConfig
	log      *slog.Logger
	store    *store
	node     *Node
	layout   atomic.Pointer[wire.Layout] // of the store; nil until a cluster is founded
	founding bool                        // the layout's streams are still to be made, or to be found
	led      *wire.Layout                // that batches are led to; nil: nowhere. Guarded by node.loading, like limit
	limit    int64                       // of the account's store, in bytes
	server   *server.Server
	addrs    Addresses
	ill      atomic.Int64 // bad looks at the streams in a row; a node that has just started counts as ill
	faults   faults       // of a relay's link
	ready    chan struct{}
}

// NewHub checks the config. It starts and opens nothing.
func NewHub(cfg HubConfig) (*Hub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("hub config: %w", err)
	}
	h := &Hub{cfg: cfg, log: cfg.Logger.With("component", "hub"), ready: make(chan struct{})}
	node, err := NewNode(NodeConfig{
		Name: cfg.Name, StoreDir: cfg.StoreDir, Nodes: cfg.Nodes, Cluster: cfg.Cluster, ClusterListen: cfg.ClusterListen, Advertise: cfg.Advertise.Cluster,
		Secret: cfg.Secret, Adapter: cfg.Adapter, DiscoverEvery: cfg.DiscoverEvery, Options: h.options, Logger: h.log,
	})
	if err != nil {
		return nil, fmt.Errorf("hub config: %w", err)
	}
	h.node = node
	h.node.linksItself, h.node.observe, h.node.hub, h.node.tend = true, h.overhear, h.id, h.answerOperators
	return h, nil
}

// prepare reads, or makes, what the server must know before it starts: secret and layout. The node knows who it is by now.
func (h *Hub) prepare() (err error) {
	if h.node.self.Spoke {
		return h.prepareRelay()
	}
	if h.cfg.Secret == "" {
		if h.cfg.Secret, err = h.store.word("secret", randomID(24)); err != nil {
			return err
		}
	}
	var l wire.Layout
	if h.node.clustered() {
		l, h.founding, err = h.store.shared()
	} else {
		l, h.founding, err = h.store.layout(h.wish())
	}
	if err != nil {
		return err
	}
	h.limit = h.storeBytes(l)
	if l.Number == 0 {
		return nil // the cluster has one, or makes one
	}
	h.layout.Store(&l)
	// The streams of a founded hub are there before its listeners: the first batch that comes shall find its way. If the layout was changed and the store does
	// not know, it comes to a stream that is sealed or gone, and is not stored.
	if !h.founding {
		h.led = &l
	}
	h.compare(l)
	h.checkDisk(l)
	return repairStreams(h.cfg.StoreDir, l, h.node.clustered(), h.log)
}

// wish is the layout that this node would found a hub with.
func (h *Hub) wish() wire.Layout {
	return wire.Layout{Hub: randomID(4), Number: 1, Partitions: cmp.Or(h.cfg.Partitions, defaultPartitions), StreamBytes: h.cfg.StreamBytes}
}

// compare tells when the layout is not what this node was started with. That is no error: flags are what the hub was founded with, and a hub whose layout was changed since must start
// again after a crash.
func (h *Hub) compare(l wire.Layout) {
	if p := h.cfg.Partitions; p != 0 && p != l.Partitions || h.cfg.StreamBytes != l.StreamBytes {
		h.log.Warn("partitions and stream size stay as they are; logdrive hub partitions changes them", "partitions", l.Partitions,
			"asked", p, "stream_bytes", l.StreamBytes, "asked_bytes", h.cfg.StreamBytes)
	}
}

// replicas is how many nodes keep each stream.
func (h *Hub) replicas() int {
	if h.node.clustered() {
		return minNodes
	}
	return 1
}

// checkDisk warns when the streams may outgrow the disk: agents wait when a stream is full, but a full disk stops the whole hub.
func (h *Hub) checkDisk(layouts ...wire.Layout) {
	free, err := freeBytes(h.cfg.StoreDir)
	if err != nil {
		h.log.Warn("free space of the hub store is unknown", "err", err)
		return
	}
	if need := streamBytes(layouts...); free < need {
		h.log.Warn("hub store may outgrow its disk", "dir", h.cfg.StoreDir, "free_bytes", free, "streams_may_hold_bytes", need)
	}
}

// Run serves until ctx ends, the node has left its cluster, or the server cannot go on: its store is in use or of another layout, a port is taken, a stream is lost, the disk
// cannot be written. It returns nil when ctx ended it, and always after all it started has ended.
// Clients from Connect must be closed before ctx ends: they lose their server.
func (h *Hub) Run(ctx context.Context) error {
	var err error
	if h.store, err = openStore(h.cfg.StoreDir); err != nil {
		return err
	}
	defer h.store.close()
	h.node.store = h.store
	return h.node.run(ctx, h.prepare, h.serve)
}

// serve founds or checks the layout, answers hello, and blocks until ctx ends.
func (h *Hub) serve(ctx context.Context) error {
	var err error
	h.server = h.node.server
	if h.addrs, err = addresses(h.cfg, h.server); err != nil {
		return err
	}
	if h.node.self.Spoke {
		h.addrs.Client = "" // nobody listens there
		return h.relay(ctx)
	}
	nc, err := h.Connect(nats.Name("logdrive hub"))
	if err != nil {
		return err
	}
	defer sendLeavesAway(h.server)
	defer drain(nc)
	f, err := h.found(ctx, nc)
	if err == nil && h.node.clustered() {
		err = h.node.nameHub()
	}
	if err != nil {
		return err
	}
	svc, err := newHello(nc, h.server, h.node.Linked, f, h.cfg.HelloTimeout, h.log)
	if err != nil {
		return err
	}
	follower := &follower{hub: h, keys: f.keys, hello: svc, f: f, log: h.log}
	driver := &driver{js: f.js, keys: f.keys, log: h.log}
	h.ill.Store(healthTries)
	close(h.node.ready)
	close(h.ready)
	h.log.Info("hub is ready", "name", h.node.name, "hub", f.layout.Hub, "layout", f.layout.Number, "partitions", f.layout.Partitions, "client", h.addrs.Client, "leaf", h.addrs.Leaf)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return svc.run(ctx) })
	group.Go(func() error { return h.watch(ctx) })
	group.Go(func() error { return follower.run(ctx) })
	group.Go(func() error { return driver.run(ctx) })
	if h.node.clustered() {
		group.Go(func() error { return (&lookout{node: h.node, log: h.log}).run(ctx) })
		group.Go(func() error { return (&spreader{hub: h, js: f.js, log: h.log}).run(ctx) })
	}
	group.Go(func() error { return newBeacon(nc, func() bool { return serving(h.server) }, h.self(), h.log).run(ctx) })
	return group.Wait()
}

// found makes the streams of a new hub, and opens those of any.
func (h *Hub) found(ctx context.Context, nc *nats.Conn) (*foundation, error) {
	var opts []jetstream.JetStreamOpt
	if h.node.clustered() { // a request to a leader that is being elected gets no answer
		opts = append(opts, jetstream.WithDefaultTimeout(leaderTimeout))
	}
	js, err := jetstream.New(nc, opts...)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	if h.node.clustered() {
		return h.foundTogether(ctx, js)
	}
	layout := *h.layout.Load()
	f := newFoundation(layout, js)
	if h.founding {
		h.log.Info("founding hub", "hub", layout.Hub, "partitions", layout.Partitions, "stream_bytes", layout.StreamBytes)
		if err := f.make(ctx); err != nil {
			return nil, err
		}
		if err := h.store.founded(); err != nil {
			return nil, err
		}
		// Not before: what an interrupted founding has made is thrown away.
		if err := h.lead(layout); err != nil {
			return nil, err
		}
	}
	return f, h.openFoundation(ctx, f)
}

// openFoundation opens what is there, and takes over a layout that came when the store could not learn of it: the hub was killed, or was away.
func (h *Hub) openFoundation(ctx context.Context, f *foundation) error {
	if err := f.open(ctx); err != nil {
		return err
	}
	if h.layout.Load() != nil && f.layout == *h.layout.Load() {
		return nil
	}
	if err := h.adopt(f.layout); err != nil {
		return err
	}
	if err := h.allow(f.layout); err != nil {
		return err
	}
	return h.lead(f.layout)
}

// id is the hub's; "": this node does not know it yet.
func (h *Hub) id() string {
	if l := h.layout.Load(); l != nil {
		return l.Hub
	}
	return ""
}

// answerOperators answers them until ctx ends, and not before this node is one of the hub's: one that is empty remembers no members.
func (h *Hub) answerOperators(ctx context.Context) error {
	if h.node.self.Spoke {
		return nil
	}
	for h.id() == "" {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(serveStep):
		}
	}
	nc, err := h.node.Connect(nats.UserInfo(userReceiver, h.cfg.Secret))
	if err != nil {
		return err
	}
	defer drain(nc)
	return (&admin{node: h.node, log: h.log}).run(ctx, nc)
}

// Ready is closed once streams, bucket, mapping and hello service stand.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Addresses are the listeners, with the ports that the system chose.
func (h *Hub) Addresses() Addresses { return h.addrs }

// self is what this node tells others of itself.
func (h *Hub) self() wire.Node {
	leaf := h.cfg.Advertise.Leaf
	if leaf == "" {
		leaf = reachable(strings.TrimPrefix(h.addrs.Leaf, "nats-leaf://"), h.node.self.Host)
	}
	return wire.Node{Name: h.node.name, Cluster: h.server.ClusterName(), Leaf: leaf, Websocket: h.cfg.Advertise.Websocket}
}

// reachable is where others reach a listener of this machine. One that takes every address is reached at the host that the platform knows; "": nobody can tell.
func reachable(listener, host string) string {
	at, port, _ := net.SplitHostPort(listener)
	if ip := net.ParseIP(at); at != "" && (ip == nil || !ip.IsUnspecified()) {
		return listener
	}
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, port)
}

// Secret is what receivers and agents must know.
func (h *Hub) Secret() string { return h.cfg.Secret }

// Leave makes this node of the hub leave for good; see Node.Leave.
func (h *Hub) Leave() { h.node.Leave() }

// Fault is why this node is not all it should be, or nil.
func (h *Hub) Fault() error { return errors.Join(h.node.Fault(), h.relayFault(), h.streamsFault()) }

// Name is the server's.
func (h *Hub) Name() string { return h.node.name }

// Members are the nodes of the hub; see Node.Members.
func (h *Hub) Members(ctx context.Context) (Members, error) { return h.node.Members(ctx) }

// Connect makes an in-process client in the account of the streams. A relay has none.
func (h *Hub) Connect(opts ...nats.Option) (*nats.Conn, error) {
	if h.node.self.Spoke {
		return nil, fmt.Errorf("node %s is a spoke of the hub and keeps no batches: receivers connect to the hub itself", h.node.name)
	}
	all := append([]nats.Option{nats.UserInfo(userReceiver, h.cfg.Secret)}, opts...)
	return connectInProcess(h.server, nameReceiver, h.log, all...)
}
