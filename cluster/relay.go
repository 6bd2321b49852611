package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
)

// A relay is what a hub node is on a spoke: agents link to it, and it is linked to the hub as if it were one of them. It keeps nothing: batches, hellos and their answers pass
// through, and a PubAck is the hub's. Of what agents ask it answers one thing itself, whether it is well and what other nodes there are.

// userRelay is the relay's own client.
const userRelay = "relay"

// relayAccounts has agents, and what they ask for comes from the hub.
const relayAccounts = `
system_account: SYS
accounts { SYS {}, AGENTS {} }`

// relayOptions configures the server of a relay. What agents may do the hub would refuse as well, but for all of them at once, by cutting the one link.
func relayOptions(cfg HubConfig, password string) (*server.Options, error) {
	o := baseOptions(cfg.Name)
	if err := o.ProcessConfigString(relayAccounts); err != nil {
		return nil, fmt.Errorf("configure accounts: %w", err)
	}
	o.DontListen = true
	if err := listenForAgents(o, cfg); err != nil {
		return nil, err
	}
	// What the hub answers is known here by the link to it, and isolation would keep from agents what is known by links.
	o.LeafNode.IsolateLeafnodeInterest = false
	o.LeafNode.ReconnectInterval = redialNever
	o.ConnectErrorReports, o.ReconnectErrorReports = 1, 1
	o.Users = users(o.Accounts, cfg.Secret)[1:]
	o.Users = append(o.Users, &server.User{
		Username: userRelay, Password: password, Account: o.Users[0].Account,
		AllowedConnectionTypes: map[string]struct{}{jwt.ConnectionTypeInProcess: {}},
	})
	return o, nil
}

// prepareRelay checks that this node can be a relay.
func (h *Hub) prepareRelay() error {
	if h.cfg.Secret == "" {
		return errors.New("a spoke needs the secret of its hub")
	}
	held, err := filepath.Glob(filepath.Join(h.cfg.StoreDir, streamsDir, "*", "streams", "*"))
	if err != nil {
		return fmt.Errorf("look into store %s: %w", h.cfg.StoreDir, err)
	}
	if len(held) > 0 {
		return fmt.Errorf("store %s is of a hub node, and this is a spoke, which would leave what it holds alone for ever: let the archive have it first, or make this node one of the hub again", h.cfg.StoreDir)
	}
	return nil
}

// relay keeps the link to the hub and tells agents how it is, until ctx ends.
func (h *Hub) relay(ctx context.Context) error {
	nc, err := connectInProcess(h.server, "logdrive relay", h.log, nats.UserInfo(userRelay, h.node.password), nats.CustomInboxPrefix(inboxes+"."+wire.HostToken(h.node.name)))
	if err != nil {
		return err
	}
	defer sendLeavesAway(h.server)
	defer drain(nc)
	up := h.uplink(nc)
	close(h.node.ready)
	close(h.ready)
	h.log.Info("relay is ready", "name", h.node.name, "leaf", h.addrs.Leaf)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return up.run(ctx) })
	group.Go(func() error { return newBeacon(nc, up.linked, h.self(), h.log).run(ctx) })
	return group.Wait()
}

// uplink steers the link as an agent's leaf does. The platform names the nodes it begins with, and the hub tells of the others.
func (h *Hub) uplink(nc *nats.Conn) *steering {
	hubs := &hubs{named: h.hubNodes, direct: func(*url.URL) bool { return true }, resolve: net.DefaultResolver.LookupHost}
	s := newSteering(LeafConfig{Host: h.node.name}, h.log, h.server, h.node.started, nc, hubs, &h.faults)
	s.account = accountAgents
	return s
}

// hubNodes are the hub's as the platform has them now.
func (h *Hub) hubNodes() (nodes []*url.URL) {
	for _, address := range h.node.discovery.peers().Leaves {
		nodes = append(nodes, &url.URL{Scheme: schemeLeaf, Host: address, User: url.UserPassword(userAgent, h.cfg.Secret)})
	}
	return nodes
}

// overhear keeps what the server says of the link to the hub.
func (h *Hub) overhear(complaint bool, text string) {
	if h.faults.ours(text) {
		h.faults.observe(complaint, text)
	}
}

// relayFault is why a relay does not reach its hub, or nil.
func (h *Hub) relayFault() error {
	if !h.node.self.Spoke {
		return nil
	}
	up, err := uplinks(h.server)
	if err != nil || len(up) > 0 {
		return err
	}
	fault, _ := h.faults.last()
	return fmt.Errorf("the hub is not reached: %s", fault)
}
