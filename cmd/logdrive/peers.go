package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/static"
)

// clusterFlags are those of a hub node among others.
func clusterFlags() []cli.Flag {
	return []cli.Flag{
		list("peers", "the nodes of this hub (repeatable): host:port of every node's cluster listener, this one's too; or where to ask for them: dns://NAME:PORT, srv://_SERVICE._tcp.NAME, fly://NAME, aws://TABLE"),
		number("nodes", 0, "how many nodes found the hub: 1, or 3 and more (as many as --peers lists)"),
		text("cluster-listen", "", "host:port where the other nodes of this hub connect"),
		text("cluster-advertise", "", "host:port of this node for the others, if they do not reach it where it listens; it stands so among --peers"),
		text("cluster", "", "name of the hub's cluster (logdrive)"),
		yes("any-zone", "let copies of a partition share a zone: needed where zones are known and fewer than three"),
		yes("trust-network", "listen beyond loopback though secret and logs cross the network in clear text: only where nobody else can read along"),
		yes("leave", "on SIGTERM leave the hub for good, once the other nodes have everything; without it a node is expected back"),
	}
}

// setPeers sets how a hub node finds the others, as --peers says, and what the flags say of their cluster, unless the adapter knows better.
func setPeers(cfg *cluster.HubConfig, c *cli.Context, p *process) (err error) {
	byScheme := map[string][]string{}
	for _, peer := range c.StringSlice("peers") {
		scheme, rest := schemeOf(peer)
		byScheme[scheme] = append(byScheme[scheme], rest)
	}
	if len(byScheme) > 1 {
		return fmt.Errorf("--peers %s: name the nodes in one way", strings.Join(c.StringSlice("peers"), " "))
	}
	cfg.Nodes, cfg.Cluster = c.Int("nodes"), c.String("cluster")
	for scheme, names := range byScheme {
		if scheme != "" && cfg.Nodes == 0 { // one each would be as many hubs as there are nodes
			return fmt.Errorf("--peers %s://%s: say with --nodes how many nodes found the hub", scheme, names[0])
		}
		switch scheme {
		case "dns":
			cfg.Adapter, err = dnsAdapter(c, p, names)
		case "fly":
			cfg.Nodes, cfg.Cluster = 0, "" // those of one machine are not those of another
			cfg.Adapter, err = flyAdapter(c, names)
		case "aws":
			cfg.Nodes = 0
			cfg.Adapter, err = awsAdapter(c, p, names)
		case "":
			cfg.Adapter, err = static.New(static.Config{Peers: names, Self: ownAddress(c), Name: c.String("name"), Zone: c.String("zone")})
		default:
			err = fmt.Errorf("--peers %s://: nodes are named as host:port, dns://NAME:PORT, srv://_SERVICE._tcp.NAME, fly://NAME or aws://TABLE", scheme)
		}
	}
	return err
}

// schemeOf tells how a peer is named. Both kinds of names in DNS are one way.
func schemeOf(peer string) (scheme, rest string) {
	scheme, rest, found := strings.Cut(peer, "://")
	switch {
	case !found, scheme == "nats-route":
		return "", peer
	case scheme == "srv":
		return "dns", rest
	}
	return scheme, rest
}

// ownAddress is where the others reach this node, if that says who it is.
func ownAddress(c *cli.Context) string {
	if address := c.String("cluster-advertise"); address != "" {
		return address
	}
	if ownHost(c) == "" {
		return ""
	}
	return c.String("cluster-listen")
}

func ownHost(c *cli.Context) string {
	host, _, err := net.SplitHostPort(c.String("cluster-listen"))
	if ip := net.ParseIP(host); err != nil || ip != nil && ip.IsUnspecified() {
		return ""
	}
	return host
}

// leaveOrStop is the life of a hub node: it ends with ctx, and with --leave not before the other nodes have all it holds. A second signal ends the process at once.
func leaveOrStop(ctx context.Context, c *cli.Context, hub *cluster.Hub) error {
	if !c.Bool("leave") {
		return hub.Run(ctx)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-hub.Ready():
			hub.Leave()
		default:
			end()
		}
	})()
	return hub.Run(life)
}
