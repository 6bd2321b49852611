package fleet

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cmd/bench/proc"
)

// Hub is the nodes of a hub, each a process. One alone is no cluster.
type Hub struct {
	cfg   Config
	taken []string // addresses given to nodes
	Nodes []*Node
}

// Node is a node of a hub. It keeps its name, store and addresses when its process is another one: they must be known before it starts.
type Node struct {
	*proc.Process          // that ran last; nil: none yet
	name          string   // of the process, and what the server's begins with
	flags         []string // of every start
	ports         Ports
}

// newHub makes the nodes; none runs yet.
func newHub(cfg Config) (*Hub, error) {
	h := &Hub{cfg: cfg}
	if err := h.init(); err != nil {
		return nil, fmt.Errorf("start hub: %w", err)
	}
	return h, nil
}

func (h *Hub) init() error {
	if err := os.MkdirAll(h.cfg.Dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(h.Secret(), []byte(crand.Text()), 0o600); err != nil {
		return err
	}
	for i := range max(1, h.cfg.Nodes) {
		if err := h.add(fmt.Sprintf("hub-%d", i)); err != nil {
			return err
		}
	}
	if len(h.Nodes) > 1 {
		return h.acquaint()
	}
	return nil
}

func (h *Hub) add(name string) error {
	client, errClient := h.freeAddress()
	leaf, errLeaf := h.freeAddress()
	if err := errors.Join(errClient, errLeaf); err != nil {
		return err
	}
	flags := []string{"--name", name, "--store", h.cfg.path(name), "--secret", h.Secret(), "--listen", client, "--leaf-listen", leaf}
	h.Nodes = append(h.Nodes, &Node{name: name, flags: append(flags, h.cfg.HubFlags...)})
	return nil
}

// acquaint tells the nodes of each other.
func (h *Hub) acquaint() error {
	var peers []string
	for _, n := range h.Nodes {
		own, err := h.freeAddress()
		if err != nil {
			return err
		}
		n.flags = append(n.flags, "--nodes", fmt.Sprint(len(h.Nodes)), "--cluster-listen", own)
		peers = append(peers, "--peers", own)
	}
	for _, n := range h.Nodes {
		n.flags = append(n.flags, peers...)
	}
	return nil
}

// start runs all nodes at once, as founders must, and returns when they are ready.
func (h *Hub) start(ctx context.Context) error {
	for _, n := range h.Nodes {
		if err := h.launch(n); err != nil {
			return err
		}
	}
	for _, n := range h.Nodes {
		if err := h.ready(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// Restart runs a node again that has ended, at its old addresses, and returns when it is ready.
func (h *Hub) Restart(ctx context.Context, n *Node) error {
	if err := h.launch(n); err != nil {
		return err
	}
	return h.ready(ctx, n)
}

func (h *Hub) launch(n *Node) error {
	p, err := h.cfg.launch(n.name, "hub", n.flags)
	if err == nil {
		n.Process = p
	}
	return err
}

func (h *Hub) ready(ctx context.Context, n *Node) (err error) {
	n.ports, err = h.cfg.ready(ctx, n.Process)
	return err
}

// Secret is the file with what agents, receivers and nodes must know.
func (h *Hub) Secret() string { return filepath.Join(h.cfg.Dir, "secret") }

// Client is the address of the first node for receivers and for those who look; they learn the others'.
func (h *Hub) Client() string { return h.Nodes[0].ports.Client }

// Named is the node with a server of that name, which begins with the one it was given; nil: none.
func (h *Hub) Named(server string) *Node {
	for _, n := range h.Nodes {
		if server == n.name || strings.HasPrefix(server, n.name+"-") {
			return n
		}
	}
	return nil
}

// Leaf is the address of the node for agents.
func (n *Node) Leaf() string { return n.ports.Leaf }

// HTTP is where the node serves its metrics, "" if it does not.
func (n *Node) HTTP() string { return n.ports.HTTP }

// leaves are the flags that tell an agent of all nodes.
func (h *Hub) leaves() (flags []string) {
	for _, n := range h.Nodes {
		flags = append(flags, "--hub", n.Leaf())
	}
	return flags
}

// Connect makes a client of the hub, as receivers are.
func (h *Hub) Connect() (*nats.Conn, error) {
	secret, err := os.ReadFile(h.Secret())
	if err != nil {
		return nil, fmt.Errorf("connect to hub: %w", err)
	}
	return cluster.Connect(h.Client(), string(secret))
}

// Processes lists those of the nodes that were started.
func (h *Hub) Processes() (all []*proc.Process) {
	for _, n := range h.Nodes {
		if n.Process != nil {
			all = append(all, n.Process)
		}
	}
	return all
}

// stop ends all nodes cleanly, at once: one that is left alone cannot hand over what it leads.
func (h *Hub) stop() error { return stopAll(h.Processes()) }

// stopAll ends processes cleanly at once.
func stopAll(all []*proc.Process) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, p := range all {
		group.Go(func() { errs[i] = p.Stop(stopWithin) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// killAll ends processes at once.
func killAll(all []*proc.Process) error {
	var errs []error
	for _, p := range all {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// freeAddress is a port of loopback that nobody listens at, below those that the system gives away by itself: nobody takes it while the node is dead.
func (h *Hub) freeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(18000))
		if slices.Contains(h.taken, address) {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			h.taken = append(h.taken, address)
			return address, l.Close()
		}
	}
	return "", errors.New("no port is free")
}
