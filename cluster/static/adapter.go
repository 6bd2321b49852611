package static

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/logdrive/logdrive/cluster"
)

// Config lists the nodes.
type Config struct {
	Peers  []string // nats-route://host:port or host:port of every node's cluster listener, this one's among them; a lone node needs none
	Self   string   // host or host:port of this node as it stands in Peers; "": the one that is an address of this machine
	Nodes  int      // how many nodes there are; 0: as many as Peers
	Name   string   // what to call this node; "": its host
	Region string   // "": unknown
	Zone   string   // nodes of one zone may fail together; "": unknown
}

// Adapter answers from a list.
type Adapter struct {
	self  cluster.Self
	peers []string
}

// New checks the list and finds this node in it. Its error lists every fault.
func New(cfg Config) (*Adapter, error) {
	peers, faults := addresses(cfg.Peers)
	if cfg.Nodes < 0 {
		faults = append(faults, fmt.Errorf("%d nodes: it must be above zero", cfg.Nodes))
	}
	if lone := len(cfg.Peers) == 0 && cfg.Nodes == 1; cfg.Nodes > 0 && len(cfg.Peers) != cfg.Nodes && !lone {
		faults = append(faults, fmt.Errorf("%d peers are listed for %d nodes: list every node, this one too", len(cfg.Peers), cfg.Nodes))
	}
	if len(cfg.Peers) == 0 && cfg.Nodes == 0 {
		faults = append(faults, errors.New("no peers are listed"))
	}
	if len(faults) > 0 { // in a list with faults the own address cannot be told for sure
		return nil, fmt.Errorf("static peers: %w", errors.Join(faults...))
	}
	host, err := own(cfg.Self, peers)
	if err != nil {
		return nil, fmt.Errorf("static peers: %w", err)
	}
	a := &Adapter{self: cluster.Self{Name: cfg.Name, Host: host, Nodes: max(len(peers), 1), Region: cfg.Region, Zone: cfg.Zone}}
	if a.self.Name == "" {
		a.self.Name = host
	}
	for _, p := range peers {
		a.peers = append(a.peers, p.String())
	}
	return a, nil
}

// Self is this node as the list has it.
func (a *Adapter) Self(context.Context) (cluster.Self, error) { return a.self, nil }

// Peers is the list.
func (a *Adapter) Peers(context.Context) (cluster.Peers, error) {
	return cluster.Peers{Routes: slices.Clone(a.peers)}, nil
}
