package cluster

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// userSystem may use the system account, from inside this process; userNode is what nodes log in as at each other.
const (
	userSystem = "system"
	userNode   = "node"
)

// anonymous is who logs in without a name, when the caller of a node has named no users.
const anonymous = "anonymous"

// unusedAccount has no users.
const unusedAccount = "UNUSED"

// routeRetries is how often a route that gossip has told of is dialled; those that discovery knows are dialled for as long as it does.
const routeRetries = 120

// options are the caller's, with what makes the server a node.
func (n *Node) options() (*server.Options, error) {
	o, err := n.cfg.Options()
	if err != nil {
		return nil, fmt.Errorf("configure node: %w", err)
	}
	o.ServerName, o.StoreDir, o.NoSigs = n.name, n.cfg.StoreDir, true
	if len(o.TrustedOperators) == 0 {
		addSystemUser(o, n.password)
	}
	o.Tags = append(o.Tags, n.tags()...)
	if o.JetStream && o.JetStreamDomain == "" {
		o.JetStreamDomain = n.self.Domain
	}
	if err := n.addLeaves(o); err != nil || !n.clustered() {
		return o, err
	}
	if err := n.addRoutes(o, n.discovery.peers().Routes); err != nil {
		return nil, err
	}
	return o, n.addGateways(o, n.gateways)
}

// zoneTag begins the tag that names a node's zone.
const zoneTag = "zone:"

// tags tell where a node is, for the placement of streams.
func (n *Node) tags() (tags []string) {
	if n.self.Region != "" {
		tags = append(tags, "region:"+n.self.Region)
	}
	if n.self.Zone != "" {
		tags = append(tags, zoneTag+n.self.Zone)
	}
	return tags
}

// addSystemUser gives this process a way into the system account, and nobody else. A server without users stays open as it was.
func addSystemUser(o *server.Options, password string) {
	if o.Username != "" {
		o.Users = append(o.Users, &server.User{Username: o.Username, Password: o.Password})
		o.Username, o.Password = "", ""
	}
	if len(o.Users) == 0 && len(o.Nkeys) == 0 && o.Authorization == "" && o.CustomClientAuthentication == nil {
		o.Users, o.NoAuthUser = []*server.User{{Username: anonymous, Password: password}}, anonymous
	}
	if o.SystemAccount == "" {
		o.SystemAccount = server.DEFAULT_SYSTEM_ACCOUNT
	}
	at := slices.IndexFunc(o.Accounts, func(a *server.Account) bool { return a.Name == o.SystemAccount })
	if at < 0 {
		at = len(o.Accounts)
		o.Accounts = append(o.Accounts, server.NewAccount(o.SystemAccount))
	}
	if o.NoAuthUser == "" && len(o.Accounts) == 1 {
		// A server that knows no account beside its two own lets strangers in, whatever users there are.
		o.Accounts = append(o.Accounts, server.NewAccount(unusedAccount))
	}
	o.Users = append(o.Users, &server.User{
		Username: userSystem, Password: password, Account: o.Accounts[at],
		AllowedConnectionTypes: map[string]struct{}{jwt.ConnectionTypeInProcess: {}},
	})
}

// addRoutes makes the server one of a cluster. A node without a store counts the routes it starts with, its own among them: as long as it knows no leader it takes
// the votes of so many to become one. So empty nodes that are fewer than the cluster's founders can never depose the leader of those that are not.
func (n *Node) addRoutes(o *server.Options, routes []string) error {
	host, port, err := splitAddress(n.cfg.ClusterListen)
	if err != nil {
		return fmt.Errorf("cluster-listen %q: %w", n.cfg.ClusterListen, err)
	}
	o.Cluster.Name, o.Cluster.Host, o.Cluster.Port, o.Cluster.Advertise = n.clusterName(), host, port, n.own()
	o.Cluster.Username, o.Cluster.Password = n.routeUser(), n.cfg.Secret
	o.CustomRouterAuthentication = n.doorman
	o.Cluster.ConnectRetries, o.Cluster.ConnectBackoff = routeRetries, false
	o.Cluster.PingInterval, o.Cluster.MaxPingsOut = routePing, maxPings
	o.Cluster.WriteDeadline = writeDeadline
	o.Cluster.Compression.Mode = server.CompressionOff
	dialled := map[string]string{}
	for _, address := range routes {
		dialled[address] = n.dialAs(address)
		o.Routes = append(o.Routes, n.peerURL("nats-route", dialled[address], address))
	}
	n.dialled = dialled
	return nil
}

// routePing finds a node that is gone without a word within 6 s. Its streams have another leader by then.
const routePing = 2 * time.Second

func (n *Node) addGateways(o *server.Options, clusters map[string][]string) error {
	if len(clusters) == 0 || n.cfg.GatewayListen == "" {
		return nil
	}
	host, port, err := splitAddress(n.cfg.GatewayListen)
	if err != nil {
		return fmt.Errorf("gateway-listen %q: %w", n.cfg.GatewayListen, err)
	}
	o.Gateway.Name, o.Gateway.Host, o.Gateway.Port = n.clusterName(), host, port
	if n.self.Host != "" {
		_, p, _ := net.SplitHostPort(n.cfg.GatewayListen)
		o.Gateway.Advertise = net.JoinHostPort(n.self.Host, p)
	}
	o.Gateway.Username, o.Gateway.Password = userNode, n.cfg.Secret
	o.Gateway.ConnectRetries = routeRetries
	for _, name := range sortedKeys(clusters) {
		remote := &server.RemoteGatewayOpts{Name: name}
		for _, address := range clusters[name] {
			remote.URLs = append(remote.URLs, n.peerURL("nats", userNode, address))
		}
		o.Gateway.Gateways = append(o.Gateway.Gateways, remote)
	}
	return nil
}

func (n *Node) peerURL(scheme, user, address string) *url.URL {
	return &url.URL{Scheme: scheme, Host: address, User: url.UserPassword(user, n.cfg.Secret)}
}

func (n *Node) clusterName() string {
	switch {
	case n.cfg.Cluster != "":
		return n.cfg.Cluster
	case n.self.Cluster != "":
		return n.self.Cluster
	}
	return defaultCluster
}

// Reload makes the running server do what its options say now: Options is called again. What the server cannot change while it runs is an error, and nothing changes.
func (n *Node) Reload() error {
	n.loading.Lock()
	defer n.loading.Unlock()
	o, err := n.options()
	if err != nil {
		return err
	}
	if err := n.server.ReloadOptions(o); err != nil {
		return fmt.Errorf("reload node: %w", err)
	}
	return nil
}
