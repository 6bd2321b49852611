package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

// hubNode is one process of a hub.
type hubNode struct {
	*role
	store              string
	clientURL, leafURL string             // of the node itself
	client, leaf       *clustertest.Proxy // before its listeners
	routes             ways               // by the number of the node they lead to; nil: to itself
	number             int
	others             []*hubNode
}

// ways are proxies that something is done to together. What leads nowhere is nil.
type ways []*clustertest.Proxy

func (w ways) each(do func(*clustertest.Proxy)) {
	for _, p := range w {
		if p != nil {
			do(p)
		}
	}
}

func (w ways) Cut()       { w.each((*clustertest.Proxy).Cut) }
func (w ways) Blackhole() { w.each((*clustertest.Proxy).Blackhole) }
func (w ways) Heal()      { w.each((*clustertest.Proxy).Heal) }
func (w ways) Release()   { w.each((*clustertest.Proxy).Release) }

// ways are all that lead to the node, or from it to others.
func (n *hubNode) ways() []*clustertest.Proxy {
	all := append(ways{n.client, n.leaf}, n.routes...)
	return slices.DeleteFunc(all, func(p *clustertest.Proxy) bool { return p == nil })
}

// between are the routes of two nodes to each other.
func (n *hubNode) between(other *hubNode) ways {
	return ways{n.routes[other.number], other.routes[n.number]}
}

// lonely are all routes between the node and the others.
func (n *hubNode) lonely() (all ways) {
	for _, other := range n.others {
		all = append(all, n.between(other)...)
	}
	return all
}

// addNodes makes the hub.
func (s *site) addNodes(o options) {
	s.t.Helper()
	s.secret = filepath.Join(o.store, "secret")
	s.addNode("hub", s.dir, o.store)
	if o.nodes > 1 {
		s.secret = s.path("secret")
		must(s.t, os.WriteFile(s.secret, []byte("secret of a hub of several nodes\n"), 0o600))
		for i := 1; i < o.nodes; i++ {
			dir := s.path(fmt.Sprintf("node%d", i+1))
			must(s.t, os.MkdirAll(dir, 0o755))
			s.addNode(fmt.Sprintf("node%d", i+1), dir, filepath.Join(dir, "store"))
		}
		s.joinNodes()
	}
	first := s.nodes[0]
	s.hub, s.client, s.leaf, s.clientURL, s.leafURL = first.role, first.client, first.leaf, first.clientURL, first.leafURL
	for _, n := range s.nodes {
		n.args = append(n.args, o.hub...)
	}
}

func (s *site) addNode(name, dir, store string) {
	s.t.Helper()
	client, leaf := clustertest.FreeAddress(s.t), clustertest.FreeAddress(s.t)
	n := &hubNode{
		number: len(s.nodes), store: store, clientURL: "nats://" + client, leafURL: "nats-leaf://" + leaf,
		client: clustertest.StartProxy(s.t, client), leaf: clustertest.StartProxy(s.t, leaf),
	}
	n.role = newRole(s.t, dir, "hub", "--store", store, "--listen", client, "--leaf-listen", leaf, "--partitions", "2", "--stream-size", "16MiB").as(name)
	s.nodes = append(s.nodes, n)
}

// joinNodes tells the nodes of each other. Each reaches each of the others through a proxy of its own. What a node says of itself leads nowhere, so that no two can
// come together past the proxies between them.
func (s *site) joinNodes() {
	s.t.Helper()
	var listeners, names []string
	for range s.nodes {
		nowhere := clustertest.StartProxy(s.t, "127.0.0.1:1")
		nowhere.Cut()
		listeners, names = append(listeners, clustertest.FreeAddress(s.t)), append(names, nowhere.Address())
	}
	for i, n := range s.nodes {
		n.args = append(n.args, "--secret", s.secret, "--nodes", fmt.Sprint(len(s.nodes)), "--cluster-listen", listeners[i], "--cluster-advertise", names[i],
			"--leaf-advertise", n.leaf.Address(), "--peers", names[i])
		for j, listener := range listeners {
			var way *clustertest.Proxy
			if j != i {
				way = clustertest.StartProxy(s.t, listener)
				n.args = append(n.args, "--peers", way.Address())
			}
			n.routes = append(n.routes, way)
		}
		n.others = slices.Concat(s.nodes[:i], s.nodes[i+1:])
	}
}

// startHub runs all nodes and waits until they are ready.
func (s *site) startHub() {
	s.t.Helper()
	for _, n := range s.nodes {
		n.start()
	}
	for _, n := range s.nodes {
		n.ready()
	}
}

// stopHub ends all nodes cleanly.
func (s *site) stopHub() {
	s.t.Helper()
	for _, n := range s.nodes {
		n.stop()
	}
}

// clientHubs are the flags of a receiver, through the site's proxies.
func (s *site) clientHubs() (flags []string) {
	for _, n := range s.nodes {
		flags = append(flags, "--hub", n.client.Client())
	}
	return flags
}

// directHubs are the flags of an operator, past the proxies.
func (s *site) directHubs() (flags []string) {
	for _, n := range s.nodes {
		flags = append(flags, "--hub", n.clientURL)
	}
	return flags
}

// leafHubs are the flags of an agent, through the site's proxies.
func (s *site) leafHubs() (flags []string) {
	for _, url := range s.leafURLs() {
		flags = append(flags, "--hub", url)
	}
	return flags
}

func (s *site) leafURLs() (urls []string) {
	for _, n := range s.nodes {
		urls = append(urls, n.leaf.Leaf())
	}
	return urls
}

// leaves are the proxies of all nodes for agents.
func (s *site) leaves() (all ways) {
	for _, n := range s.nodes {
		all = append(all, n.leaf)
	}
	return all
}

// clientURLs are the nodes themselves, as Connect takes them.
func (s *site) clientURLs() string {
	var urls []string
	for _, n := range s.nodes {
		urls = append(urls, n.clientURL)
	}
	return strings.Join(urls, ",")
}

// serverName is what the node is called in the cluster; "" before its first start.
func (n *hubNode) serverName(t testing.TB) string {
	t.Helper()
	name, err := os.ReadFile(filepath.Join(n.store, "name"))
	if !os.IsNotExist(err) {
		must(t, err)
	}
	return strings.TrimSpace(string(name))
}
