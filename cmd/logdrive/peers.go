package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/dns"
	"github.com/logdrive/logdrive/cluster/fly"
	"github.com/logdrive/logdrive/cluster/static"
)

// clusterFlags are those of a hub node among others.
func clusterFlags() []cli.Flag {
	return []cli.Flag{
		list("peers", "the nodes of this hub (repeatable): host:port of every node's cluster listener, this one's too; or where to ask for them: dns://NAME:PORT, srv://_SERVICE._tcp.NAME, fly://NAME"),
		number("nodes", 0, "how many nodes found the hub: 1, or 3 and more (as many as --peers lists, else 1)"),
		text("cluster-listen", "", "host:port where the other nodes of this hub connect"),
		text("cluster-advertise", "", "host:port of this node for the others, if they do not reach it where it listens; it stands so among --peers"),
		text("cluster", "", "name of the hub's cluster (logdrive)"),
		text("gateway-listen", "", "host:port where the clusters of other regions connect"),
		yes("any-zone", "let copies of a partition share a zone: needed where zones are known and fewer than three"),
		yes("trust-network", "listen beyond loopback though secret and logs cross the network in clear text: only where nobody else can read along"),
		yes("leave", "on SIGTERM leave the hub for good, once the other nodes have everything; without it a node is expected back"),
	}
}

// adapter is how a hub node finds the others, as --peers says; nil: there are none.
func adapter(c *cli.Context, p *process) (cluster.Adapter, error) {
	byScheme := map[string][]string{}
	for _, peer := range c.StringSlice("peers") {
		scheme, rest := schemeOf(peer)
		byScheme[scheme] = append(byScheme[scheme], rest)
	}
	if len(byScheme) == 0 {
		return nil, nil
	}
	if len(byScheme) > 1 {
		return nil, fmt.Errorf("--peers %s: name the nodes in one way", strings.Join(c.StringSlice("peers"), " "))
	}
	for scheme, names := range byScheme {
		switch scheme {
		case "dns":
			return dns.New(dns.Config{Names: names, Nodes: c.Int("nodes"), Host: ownHost(c), Name: c.String("name"), Zone: c.String("zone"), Logger: p.log})
		case "fly":
			return flyAdapter(c, names)
		case "":
			return static.New(static.Config{Peers: names, Self: ownAddress(c), Name: c.String("name"), Zone: c.String("zone")})
		default:
			return nil, fmt.Errorf("--peers %s://: nodes are named as host:port, dns://NAME:PORT, srv://_SERVICE._tcp.NAME or fly://NAME", scheme)
		}
	}
	return nil, nil
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

func flyAdapter(c *cli.Context, names []string) (cluster.Adapter, error) {
	if len(names) != 1 {
		return nil, fmt.Errorf("--peers fly://: one name is enough for all machines of an app")
	}
	u, err := url.Parse("fly://" + names[0])
	if err != nil {
		return nil, fmt.Errorf("--peers: %w", err)
	}
	return fly.New(fly.Config{Cluster: u.Host, Shape: fly.Shape(shapeOf(u)), Nodes: c.Int("nodes")})
}

// shapeOf is the shape of fly://NAME?shape=hub-and-spoke; regions without.
func shapeOf(u *url.URL) string {
	if shape := u.Query().Get("shape"); shape != "" {
		return shape
	}
	return string(fly.Regions)
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
