package fly

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/logdrive/logdrive/cluster"
)

// Adapter answers for one machine.
type Adapter struct {
	cfg      Config
	env      environment
	resolver resolver
}

// New checks the config and reads the environment; it looks nothing up.
func New(cfg Config) (*Adapter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("fly: %w", err)
	}
	cfg = cfg.filled()
	env, err := readEnvironment(cfg.Getenv, cfg.Shape)
	if err != nil {
		return nil, fmt.Errorf("fly: %w", err)
	}
	return &Adapter{cfg: cfg, env: env, resolver: newResolver(cfg.Server)}, nil
}

// Self is this machine as its environment has it. A spoke is a cluster of its own, of one node.
func (a *Adapter) Self(context.Context) (cluster.Self, error) {
	self := cluster.Self{
		Name:    "fly-" + a.env.machine,
		Host:    a.domain(a.env.machine + ".vm"),
		Cluster: a.regional(a.env.region),
		Nodes:   a.cfg.Nodes,
		Region:  a.env.region,
	}
	switch {
	case a.isSpoke():
		self.Cluster += "-" + a.env.machine
		self.Nodes, self.Spoke, self.Domain = 1, true, "leaf-"+a.env.region+"-"+a.env.machine
	case a.cfg.Shape == HubAndSpoke:
		self.Cluster, self.Domain = a.cfg.Cluster, "hub"
	}
	return self, nil
}

// Peers looks the machines up.
func (a *Adapter) Peers(ctx context.Context) (cluster.Peers, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	machines, err := a.machines(ctx)
	if err != nil {
		return cluster.Peers{}, fmt.Errorf("fly: %w", err)
	}
	if a.cfg.Shape == Regions {
		return a.regions(machines), nil
	}
	return a.hubAndSpoke(machines), nil
}

func (a *Adapter) regions(machines []machine) cluster.Peers {
	peers := cluster.Peers{Gateways: map[string][]string{}}
	for _, m := range machines {
		if m.region == a.env.region {
			peers.Routes = append(peers.Routes, at(m.name, a.cfg.ClusterPort))
		}
		name := a.regional(m.region)
		peers.Gateways[name] = append(peers.Gateways[name], at(m.name, a.cfg.GatewayPort))
	}
	return peers
}

func (a *Adapter) hubAndSpoke(machines []machine) cluster.Peers {
	var peers cluster.Peers
	for _, m := range machines {
		switch {
		case m.region != a.env.primary:
		case a.isSpoke():
			peers.Leaves = append(peers.Leaves, at(m.name, a.cfg.LeafPort))
		default:
			peers.Routes = append(peers.Routes, at(m.name, a.cfg.ClusterPort))
		}
	}
	if a.isSpoke() && len(peers.Leaves) == 0 { // a node without any would not know that it is a spoke
		peers.Leaves = []string{at(a.domain(a.env.primary), a.cfg.LeafPort)}
	}
	return peers
}

func (a *Adapter) isSpoke() bool {
	return a.cfg.Shape == HubAndSpoke && a.env.region != a.env.primary
}

// regional is the name of a region's cluster.
func (a *Adapter) regional(region string) string { return a.cfg.Cluster + "-" + region }

func at(name string, port int) string { return net.JoinHostPort(name, strconv.Itoa(port)) }
