package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/logdrive/logdrive/cluster"
)

// defaultTimeout leaves room for a second try: resolvers wait 5 s for the answer to a question that may have been lost.
const defaultTimeout = 10 * time.Second

// Config says where the nodes' addresses are.
type Config struct {
	Names   []string      // name:port for A and AAAA records, _service._protocol.name for SRV; they may be mixed
	Nodes   int           // how many nodes found the cluster; 0: what the hub's config says
	Host    string        // that peers reach this node at; "": the address among the answers that is this machine's
	Name    string        // what to call this node; "": the machine's host name
	Region  string        // "": unknown
	Zone    string        // nodes of one zone may fail together; "": unknown
	Server  string        // host:port of the DNS server to ask; "": those of the system
	Timeout time.Duration // of all lookups together; 0: 10 s
	Logger  *slog.Logger  // required
}

// Adapter answers from DNS.
type Adapter struct {
	cfg      Config
	names    []name
	resolver *net.Resolver
	log      *slog.Logger
	absent   map[string]bool // names that had no address when they were last looked up
}

// New checks the config; it looks nothing up. Its error lists every fault.
func New(cfg Config) (*Adapter, error) {
	names, faults := parseNames(cfg.Names)
	if cfg.Nodes < 0 {
		faults = append(faults, fmt.Errorf("%d nodes: it must not be below zero", cfg.Nodes))
	}
	if cfg.Timeout < 0 {
		faults = append(faults, fmt.Errorf("timeout %v: it must not be below zero", cfg.Timeout))
	}
	if cfg.Server != "" {
		if _, err := netip.ParseAddrPort(cfg.Server); err != nil {
			faults = append(faults, fmt.Errorf("server %q is not IP:port", cfg.Server))
		}
	}
	if cfg.Logger == nil {
		faults = append(faults, errors.New("logger is not set"))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("dns peers: %w", errors.Join(faults...))
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	return &Adapter{
		cfg: cfg, names: names, resolver: newResolver(cfg.Server),
		log: cfg.Logger.With("component", "dns"), absent: map[string]bool{},
	}, nil
}

// Self is this machine, at the host of the config or at the one of its addresses that the names answer. It is an error when they do not
// answer one of them yet.
func (a *Adapter) Self(ctx context.Context) (cluster.Self, error) {
	self := cluster.Self{Name: a.cfg.Name, Host: a.cfg.Host, Nodes: a.cfg.Nodes, Region: a.cfg.Region, Zone: a.cfg.Zone}
	if self.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return cluster.Self{}, fmt.Errorf("read the machine's host name: %w", err)
		}
		self.Name = host
	}
	if self.Host == "" {
		found, err := a.lookup(ctx)
		if err != nil {
			return cluster.Self{}, err
		}
		if self.Host, err = own(found); err != nil {
			return cluster.Self{}, err
		}
	}
	return self, nil
}

// Peers looks every name up.
func (a *Adapter) Peers(ctx context.Context) (cluster.Peers, error) {
	found, err := a.lookup(ctx)
	if err != nil {
		return cluster.Peers{}, err
	}
	var peers cluster.Peers
	for _, address := range found {
		peers.Routes = append(peers.Routes, address.String())
	}
	return peers, nil
}

// lookup gives every address once, in order.
func (a *Adapter) lookup(ctx context.Context) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	found, absent, err := lookupAll(ctx, a.resolver, a.names)
	if err != nil {
		return nil, err
	}
	a.tell(absent)
	if len(found) == 0 {
		return nil, fmt.Errorf("look up peers: none of the names has an address: %q", a.cfg.Names)
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found), nil
}

// tell logs which names have lost their addresses since the last time, or have them again.
func (a *Adapter) tell(absent map[string]bool) {
	for name := range absent {
		if !a.absent[name] {
			a.log.Warn("name has no address: no node there", "name", name)
		}
	}
	for name := range a.absent {
		if !absent[name] {
			a.log.Info("name is not without address any more", "name", name)
		}
	}
	a.absent = absent
}
