package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
)

// NodeConfig describes an embedded NATS server that finds its peers by itself.
type NodeConfig struct {
	Name          string  // of the server. In a cluster, and when it is "", a random part follows, kept in the store: an empty store must never come back under an old name
	StoreDir      string  // the node's directory, made when absent; one process uses it at a time
	Nodes         int     // how many nodes found the cluster; 0: what the adapter says, else 1. One node is no cluster, two are refused
	Cluster       string  // its name; "": what the adapter says, else "logdrive"
	ClusterListen string  // host:port for the other nodes; not needed by one node
	Advertise     string  // host:port at which the other nodes reach this one, if not where it listens; it stands so among what the adapter names
	GatewayListen string  // host:port for the clusters around this one; "": there are no gateways, even if the adapter names such clusters
	LeafListen    string  // host:port for spokes, which log in with the secret; "": as the options say
	LeafAccount   string  // that spokes share with their hub; "": the server's global one
	Secret        string  // what nodes must know to join; needed by more than one
	Adapter       Adapter // needed by more than one

	DiscoverEvery time.Duration // how often the adapter is asked for peers; 0: every 5 s
	ForgetAfter   time.Duration // how long a peer must be missing from its answers to be dropped, for names vanish for a moment while a platform moves things; 0: 30 s

	// Options makes the server's options, new ones at each call: they are loaded again when the peers change. What concerns name, store, system user,
	// routes and gateways is set by the node afterwards. nil: a server with JetStream for clients on 127.0.0.1:4222.
	Options func() (*server.Options, error)
	Logger  *slog.Logger // required
}

// Defaults of a node.
const (
	discoverEvery  = 5 * time.Second
	forgetAfter    = 30 * time.Second
	defaultCluster = "logdrive"
	minNodes       = 3 // of a cluster: two can lose none
	serveStep      = 50 * time.Millisecond
)

// Node is a NATS server that founds a cluster with its peers, or joins the one that is there, and follows them as they come and go. Run owns it; the other methods may be called from
// any goroutine, but only once Ready is closed.
type Node struct {
	cfg      NodeConfig
	log      *slog.Logger
	store    *store
	nodes    int // founders
	self     Self
	name     string
	streams  bool                // its options ask for JetStream
	gateways map[string][]string // that the server was started with: it takes no others while it runs
	outcast  atomic.Int64        // looks in a row at which the leader did not count this node
	dialled  map[string]string   // as whom this node dials each route; guarded by loading
	told     []string            // clusters that came since, and that the log has told of
	started  *server.Options     // what it was started with
	// linksItself leaves it to the caller to link a spoke to its hub.
	linksItself bool
	observe     func(complaint bool, text string) // sees what the server says
	hub         func() string                     // id of the hub that the node is of; "": of none yet
	doorman     *doorman
	tend        func(context.Context) error // runs while the server takes connections, whether there is a leader or not
	untend      func()                      // ends that
	password    string                      // of the system user: this process alone knows it
	discovery   *discovery
	server      *server.Server
	loading     sync.Mutex // options are changed, made and loaded by one goroutine at a time
	leave       chan struct{}
	leaving     sync.Once
	forced      bool // written before leave is closed
	ready       chan struct{}
	ended       chan struct{}
	cancel      context.CancelFunc
}

// NewNode checks the config. It starts and opens nothing.
func NewNode(cfg NodeConfig) (*Node, error) {
	if cfg.Options == nil {
		cfg.Options = plainOptions
	}
	cfg.DiscoverEvery, cfg.ForgetAfter = cmp.Or(cfg.DiscoverEvery, discoverEvery), cmp.Or(cfg.ForgetAfter, forgetAfter)
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("node config: %w", err)
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, password: randomID(24), leave: make(chan struct{}),
		observe: func(bool, string) {}, hub: func() string { return "" }, tend: func(context.Context) error { return nil },
		dialled: map[string]string{}, ready: make(chan struct{}), ended: make(chan struct{}),
	}
	n.doorman = &doorman{secret: cfg.Secret, own: func() string { return n.hub() }, log: cfg.Logger}
	return n, nil
}

func (c NodeConfig) validate() error {
	var faults []error
	if c.StoreDir == "" {
		faults = append(faults, errors.New("store directory is not set"))
	}
	if c.Logger == nil {
		faults = append(faults, errors.New("logger is not set"))
	}
	if c.Nodes < 0 {
		faults = append(faults, fmt.Errorf("%d nodes", c.Nodes))
	}
	return errors.Join(append(faults, c.checkNodes(c.Nodes))...)
}

// checkNodes tells what a cluster of so many founders lacks.
func (c NodeConfig) checkNodes(nodes int) error {
	if nodes < 2 {
		return nil
	}
	var faults []error
	fault := func(text string) { faults = append(faults, errors.New(text)) }
	if nodes < minNodes {
		fault("2 nodes: when either of them is gone, none serves, which makes two worse than one; use 1 or 3")
	}
	if c.Adapter == nil {
		fault("several nodes need to be told of each other: name the peers")
	}
	if c.Secret == "" {
		fault("several nodes need one secret: give the same to each")
	}
	if c.ClusterListen == "" {
		fault("several nodes need an address for each other: cluster-listen is not set")
	} else if _, _, err := splitAddress(c.ClusterListen); err != nil {
		fault(fmt.Sprintf("cluster-listen %q: %v", c.ClusterListen, err))
	}
	if _, port, err := splitAddress(c.Advertise); c.Advertise != "" && (err != nil || port <= 0) {
		fault(fmt.Sprintf("cluster-advertise %q is not host:port", c.Advertise))
	}
	return errors.Join(faults...)
}

// plainOptions are those of a server that is nothing but a server.
func plainOptions() (*server.Options, error) {
	o := baseOptions("")
	o.Host, o.Port, o.JetStream = "127.0.0.1", server.DEFAULT_PORT, true
	return o, nil
}

// Run serves until ctx ends, the node has left for good, or the server cannot go on. It returns after all it started has ended.
func (n *Node) Run(ctx context.Context) error {
	var err error
	if n.store, err = openStore(n.cfg.StoreDir); err != nil {
		return err
	}
	defer n.store.close()
	return n.run(ctx, func() error { return nil }, func(ctx context.Context) error {
		close(n.ready)
		<-ctx.Done()
		return nil
	})
}

// run starts the server, attends to its peers and serves, for as long as both go on. prepare is called once the node knows who it is, before its options are made.
func (n *Node) run(ctx context.Context, prepare func() error, serve func(context.Context) error) error {
	defer close(n.ended)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	n.cancel = func() { end(nil) }
	if err := n.identify(ctx); err != nil {
		return endOf(ctx, err)
	}
	if err := prepare(); err != nil {
		return err
	}
	if err := n.start(ctx, end); err != nil {
		return endOf(ctx, err)
	}
	defer stopServer(n.server, n.log)
	defer n.stepDown()
	defer n.untend()
	group, together := errgroup.WithContext(ctx)
	group.Go(func() error { return n.attend(together) })
	group.Go(func() error { return serve(together) })
	if err := group.Wait(); !errors.Is(err, errLeft) {
		return endOf(ctx, err)
	}
	return nil
}

// identify finds out who this node is, and checks that its store is of that kind.
func (n *Node) identify(ctx context.Context) (err error) {
	if n.cfg.Adapter != nil {
		if n.self, err = n.askSelf(ctx); err != nil {
			return err
		}
	}
	n.nodes = cmp.Or(n.cfg.Nodes, n.self.Nodes, 1)
	if n.self.Spoke {
		n.nodes = 1
	}
	if err := n.cfg.checkNodes(n.nodes); err != nil {
		return err
	}
	if err := checkLeft(n.cfg.StoreDir); err != nil {
		return err
	}
	if err := checkKind(n.cfg.StoreDir, n.clustered()); err != nil {
		return err
	}
	if !n.clustered() && n.cfg.Name != "" {
		n.name = n.cfg.Name
		return nil
	}
	n.name, err = n.store.word("name", n.base()+"-"+randomID(4))
	return err
}

// base begins the name of a node.
func (n *Node) base() string { return cmp.Or(n.cfg.Name, n.self.Name, "hub") }

// askSelf asks the adapter until it answers: its platform may be slower than this process.
func (n *Node) askSelf(ctx context.Context) (Self, error) {
	for {
		self, err := n.cfg.Adapter.Self(ctx)
		if err == nil {
			return self, nil
		}
		n.log.Warn("platform does not tell who this node is; asking again", "err", err)
		select {
		case <-ctx.Done():
			return Self{}, context.Cause(ctx)
		case <-time.After(n.cfg.DiscoverEvery):
		}
	}
}

// start brings up the server up to its listeners and, in a cluster, waits before that for as many peers as it takes to found one, and after it for a leader.
func (n *Node) start(ctx context.Context, end context.CancelCauseFunc) error {
	n.discovery = newDiscovery(n.cfg, n.store, n.own(), n.nodes)
	for {
		if n.discovers() {
			if err := n.awaitPeers(ctx); err != nil {
				return err
			}
			n.gateways = n.discovery.peers().Gateways
		}
		err := n.startOnce(ctx, end)
		if !errors.Is(err, errMiscounted) {
			return err
		}
		if err := n.beginAnew(); err != nil {
			return err
		}
	}
}

func (n *Node) startOnce(ctx context.Context, end context.CancelCauseFunc) error {
	opts, err := n.options()
	if err != nil {
		return err
	}
	n.started = opts
	n.streams = opts.JetStream
	if n.server, err = server.NewServer(opts); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	log := newServerLog(n.log, func(err error) { end(fatalError{err}) }, n.observe)
	if err := startServer(ctx, n.server, log); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	n.startTending(ctx, end)
	if err := n.awaitService(ctx); err != nil {
		n.untend()
		stopServer(n.server, n.log)
		return err
	}
	return nil
}

// startTending begins what goes on beside the server from its start on: a cluster without a leader needs its operators most.
func (n *Node) startTending(ctx context.Context, end context.CancelCauseFunc) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	n.untend = func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		if err := n.tend(ctx); err != nil && ctx.Err() == nil {
			end(fatalError{err})
		}
	}()
}

// clustered says that the node is one of several.
func (n *Node) clustered() bool { return n.nodes > 1 }

// discovers says that the node must know peers.
func (n *Node) discovers() bool { return n.clustered() || n.self.Spoke }

// own is the address at which other nodes reach this one.
func (n *Node) own() string {
	switch {
	case !n.clustered():
		return ""
	case n.cfg.Advertise != "":
		return n.cfg.Advertise
	}
	host, port, err := net.SplitHostPort(n.cfg.ClusterListen)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(cmp.Or(n.self.Host, host), port)
}

// serving says that JetStream, if the server has it, works here now.
func (n *Node) serving() bool {
	if !n.server.JetStreamEnabled() {
		return !n.streams
	}
	if !n.clustered() {
		return true
	}
	info, err := n.server.Jsz(nil)
	return err == nil && info.Meta != nil && info.Meta.Leader != "" && n.server.JetStreamIsCurrent()
}

// Linked lists the names of the nodes that this one has a route to now.
func (n *Node) Linked() []string {
	routes, err := n.server.Routez(nil)
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	for _, r := range routes.Routes {
		seen[r.RemoteName] = true
	}
	return sorted(seen)
}

// Ready is closed once the server serves, and its cluster has a leader.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Name is the server's.
func (n *Node) Name() string { return n.name }

// Server is the embedded server itself.
func (n *Node) Server() *server.Server { return n.server }

// Connect makes an in-process client. Options carry the user, if there are users.
func (n *Node) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return connectInProcess(n.server, n.name, n.log, opts...)
}

// ConnectSystem makes an in-process client in the system account.
func (n *Node) ConnectSystem(opts ...nats.Option) (*nats.Conn, error) {
	return connectInProcess(n.server, n.name+" system", n.log, append([]nats.Option{nats.UserInfo(userSystem, n.password)}, opts...)...)
}

// Shutdown ends Run as the end of its context does, and waits for that until ctx ends.
func (n *Node) Shutdown(ctx context.Context) error {
	n.cancel()
	select {
	case <-n.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut down node %s: %w", n.name, context.Cause(ctx))
	}
}
