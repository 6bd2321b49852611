package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Leaf is the NATS server inside an agent. It keeps a link to the hub, and makes it again whenever it breaks. Run owns it; the other
// methods may be called from any goroutine once Ready is closed.
type Leaf struct {
	cfg    LeafConfig
	log    *slog.Logger
	server *server.Server
	faults *faults
	course atomic.Pointer[course]
	ready  chan struct{}
}

// NewLeaf checks the config. It starts nothing.
func NewLeaf(cfg LeafConfig) (*Leaf, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("leaf config: %w", err)
	}
	return &Leaf{cfg: cfg, log: cfg.Logger.With("component", "leaf"), faults: &faults{}, ready: make(chan struct{})}, nil
}

// Run keeps the leaf up until ctx ends or the server cannot go on. It returns nil when ctx ended it. Clients from Connect must be closed before.
func (l *Leaf) Run(ctx context.Context) error {
	options := leafOptions(l.cfg)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var err error
	if l.server, err = server.NewServer(options); err != nil {
		return fmt.Errorf("start leaf: %w", err)
	}
	if err := startServer(ctx, l.server, newServerLog(l.log, func(err error) { cancel(fatalError{err}) }, l.faults.observe)); err != nil {
		return endOf(ctx, fmt.Errorf("start leaf: %w", err))
	}
	defer stopServer(l.server, l.log)
	nc, err := l.Connect(nats.Name("logdrive leaf"))
	if err != nil {
		return endOf(ctx, err)
	}
	defer nc.Close()
	close(l.ready)
	return endOf(ctx, l.steering(options, nc).run(ctx))
}

func (l *Leaf) steering(options *server.Options, nc *nats.Conn) *steering {
	named := make([]*url.URL, len(l.cfg.Hubs))
	for i, hub := range l.cfg.Hubs {
		named[i], _ = hubURL(hub) // Validate has read them
		named[i].User = url.UserPassword(userAgent, l.cfg.Secret)
	}
	direct := func(u *url.URL) bool { proxy, err := proxyOf(l.cfg, u); return proxy == nil && err == nil }
	hubs := &hubs{named: func() []*url.URL { return named }, direct: direct, resolve: net.DefaultResolver.LookupHost}
	s := newSteering(l.cfg, l.log, l.server, options, nc, hubs, l.faults)
	s.course = &l.course
	return s
}

// Ready is closed once Connect works. The hub may still be out of reach: see Link.
func (l *Leaf) Ready() <-chan struct{} { return l.ready }

// Linked says that the hub is reached now.
func (l *Leaf) Linked() bool { return l.server.NumLeafNodes() > 0 }

// Link is how the leaf stands to the hub.
type Link struct {
	Up    bool
	Hub   string    // address of the node that is linked, or dialled now
	Node  string    // name of that node; "": it has not answered over this link yet
	Known int       // addresses of hub nodes that are known now
	Fault string    // why the last attempt failed or the last link ended, and what to do; "" when nothing failed yet
	Since time.Time // of that fault
}

// Link tells whether the hub is reached and, if it is not, why.
func (l *Leaf) Link() Link {
	fault, since := l.faults.last()
	link := Link{Up: l.Linked(), Fault: fault, Since: since}
	if c := l.course.Load(); c != nil {
		link.Hub, link.Node, link.Known = c.hub, c.node, c.known
	}
	return link
}

// Connect makes an in-process client of the leaf. Answers come to inboxes that carry the host, so that credentials can be tied to it.
func (l *Leaf) Connect(opts ...nats.Option) (*nats.Conn, error) {
	all := append([]nats.Option{nats.CustomInboxPrefix(inboxes + "." + wire.HostToken(l.cfg.Host))}, opts...)
	return connectInProcess(l.server, "logdrive agent", l.log, all...)
}
