package fly

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Shape is how the machines of an app stand to each other.
type Shape string

// The two shapes.
const (
	Regions     Shape = "regions"
	HubAndSpoke Shape = "hub-and-spoke"
)

// defaultTimeout leaves room for a second try: resolvers wait 5 s for the answer to a question that may have been lost.
const defaultTimeout = 10 * time.Second

// Config says what to make of the machines. What Fly says itself is not in it.
type Config struct {
	Cluster string // name that all clusters of the app have in common
	Shape   Shape
	Nodes   int // how many machines found the cluster of a region, or the hub; 0: what the hub's config says

	ClusterPort, GatewayPort, LeafPort int // of the listeners, the same on every machine; 0: 4244, 7244, 7422

	Server  string                   // IP:port of the DNS server to ask; "": those of the system
	Timeout time.Duration            // of all lookups together; 0: 10 s
	Getenv  func(name string) string // where Fly's variables are; nil: os.Getenv
}

// Validate lists everything that is wrong with the config.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Cluster == "" || strings.ContainsAny(c.Cluster, " \t\n.*>") {
		fault("cluster name %q: it must be one word", c.Cluster)
	}
	if c.Shape != Regions && c.Shape != HubAndSpoke {
		fault("shape %q: it is %q or %q", c.Shape, Regions, HubAndSpoke)
	}
	if c.Nodes < 0 {
		fault("%d nodes: it must not be below zero", c.Nodes)
	}
	for _, p := range []struct {
		name string
		port int
	}{{"cluster", c.ClusterPort}, {"gateway", c.GatewayPort}, {"leaf", c.LeafPort}} {
		if p.port < 0 || p.port > 65535 {
			fault("%s port %d is not 1 to 65535", p.name, p.port)
		}
	}
	if c.Server != "" {
		if _, err := netip.ParseAddrPort(c.Server); err != nil {
			fault("server %q is not IP:port", c.Server)
		}
	}
	if c.Timeout < 0 {
		fault("timeout %v: it must not be below zero", c.Timeout)
	}
	return errors.Join(faults...)
}

// filled is the config with the defaults where nothing is said.
func (c Config) filled() Config {
	for port, otherwise := range map[*int]int{&c.ClusterPort: 4244, &c.GatewayPort: 7244, &c.LeafPort: 7422} {
		if *port == 0 {
			*port = otherwise
		}
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	return c
}
