package cluster

import (
	"fmt"
	"net/url"

	"github.com/nats-io/nats-server/v2/server"
)

// addLeaves makes the server a hub of spokes, or a spoke of its hub: one link to any of the hub's nodes.
func (n *Node) addLeaves(o *server.Options) (err error) {
	if n.cfg.LeafListen != "" {
		if o.LeafNode.Host, o.LeafNode.Port, err = splitAddress(n.cfg.LeafListen); err != nil {
			return fmt.Errorf("leaf-listen %q: %w", n.cfg.LeafListen, err)
		}
		o.LeafNode.Account, o.LeafNode.Username, o.LeafNode.Password = n.cfg.LeafAccount, userNode, n.cfg.Secret
		o.LeafNode.NoAdvertise = true // spokes know the hub's nodes from their own platform
	}
	if !n.self.Spoke || n.linksItself {
		return nil
	}
	remote := &server.RemoteLeafOpts{LocalAccount: n.cfg.LeafAccount, IgnoreDiscoveredServers: true, DialTimeout: dialTimeout, FirstInfoTimeout: dialTimeout}
	for _, address := range n.discovery.peers().Leaves {
		remote.URLs = append(remote.URLs, n.leafURL(address))
	}
	o.LeafNode.Remotes = append(o.LeafNode.Remotes, remote)
	o.LeafNode.ReconnectInterval = relinkEvery
	return nil
}

func (n *Node) leafURL(address string) *url.URL { return n.peerURL(schemeLeaf, userNode, address) }

// uplinks are the links that a spoke has to its hub: one, or none.
func uplinks(s *server.Server) ([]*server.LeafInfo, error) {
	links, err := s.Leafz(nil)
	if err != nil {
		return nil, fmt.Errorf("list leaves: %w", err)
	}
	var up []*server.LeafInfo
	for _, l := range links.Leafs {
		if l.IsSpoke {
			up = append(up, l)
		}
	}
	return up, nil
}

// unlinked is why a spoke is not joined to its hub, or nil.
func (n *Node) unlinked() error {
	if !n.self.Spoke || n.linksItself {
		return nil
	}
	if up, err := uplinks(n.server); err != nil || len(up) > 0 {
		return err
	}
	return fmt.Errorf("the hub is not reached: tried %v", n.discovery.peers().Leaves)
}
