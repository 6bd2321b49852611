package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// strangers are the clusters that the platform names, and that the server was not told of when it started: gateways cannot be added to one that runs. Machines that come to a known cluster or move
// are no strangers: names are looked up at each dial, and gateways tell each other of new ones.
func (n *Node) strangers() (names []string) {
	if n.cfg.GatewayListen == "" || !n.clustered() {
		return nil
	}
	for name := range n.discovery.peers().Gateways {
		if _, known := n.gateways[name]; !known && name != n.clusterName() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// tellStrangers logs each of them once.
func (n *Node) tellStrangers() {
	for _, name := range n.strangers() {
		if !slices.Contains(n.told, name) {
			n.told = append(n.told, name)
			n.log.Warn("platform names a cluster that is new: restart this node when it suits, so that it links to it by itself", "cluster", name)
		}
	}
}

func (n *Node) strangeFault() error {
	names := n.strangers()
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("restart this node: it was started before cluster %s was there, and gateways cannot be added while it runs", strings.Join(names, ", "))
}
