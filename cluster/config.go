package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Defaults and limits of a hub's layout.
const (
	defaultPartitions  = 8
	defaultStreamBytes = 1 << 30
	minStreamBytes     = 1 << 20
	maxStreamBytes     = 1 << 50 // so that sums of many do not overflow
)

// HubConfig describes a hub node.
type HubConfig struct {
	Name        string       // server name; "": a random one, kept in the store
	StoreDir    string       // the node's directory, made when absent; one process uses it at a time
	Listen      string       // host:port for receivers; port 0: the system chooses
	LeafListen  string       // host:port for agents' leaves; port 0: the system chooses
	Websocket   string       // host:port for agents' leaves over WebSocket; "": none; port 0: the system chooses
	Advertise   Advertise    // where agents and other nodes reach this node, if not at its listeners
	Secret      string       // what receivers and agents must know; "": the one in <store>/secret, made at the first start
	Partitions  int          // used when the hub is founded; 0: 8
	StreamBytes int64        // size limit of a partition's stream in bytes, used when the hub is founded
	Logger      *slog.Logger // required

	Nodes         int           // how many nodes found the hub: 1, or 3 and more; 0: what the adapter says, else 1
	Adapter       Adapter       // names the other nodes, if there are any
	Cluster       string        // name of the cluster; "": what the adapter says, else logdrive
	ClusterListen string        // host:port for the other nodes
	DiscoverEvery time.Duration // how often the adapter is asked; 0: every 5 s
	AnyZone       bool          // let copies of a stream share a zone, where the adapter knows zones and there are fewer than three
	TrustNetwork  bool          // listen beyond loopback though the secret and all bytes cross the network in clear text: only where nobody else can read along

	HelloTimeout time.Duration // of one answer to an agent; a chain that is longer than that is read on at the next hello
}

// Advertise is what a hub node tells of its addresses: agents, so that those which were given the address of another node come by it, and the other nodes.
type Advertise struct {
	Cluster   string // host:port; "": the cluster listener's own, at the host that the adapter knows
	Leaf      string // host:port; "": the leaf listener's own or, if that takes every address, its port at the host that the adapter knows
	Websocket string // ws://host:port or wss://host:port; "": none, since what serves WebSocket to a network usually stands before the listener
}

// DefaultHubConfig is a hub for one machine. StoreDir and Logger are left to the caller.
func DefaultHubConfig() HubConfig {
	return HubConfig{
		Listen:      "127.0.0.1:4222",
		LeafListen:  "127.0.0.1:7422",
		Partitions:  defaultPartitions,
		StreamBytes: defaultStreamBytes,

		HelloTimeout: 10 * time.Second,
	}
}

// Validate lists everything that is wrong with the config.
func (c HubConfig) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.StoreDir == "" {
		fault("store directory is not set")
	}
	if c.Logger == nil {
		fault("logger is not set")
	}
	if c.Partitions < 0 || c.Partitions > wire.MaxPartitions {
		fault("%d partitions: 1 to %d are possible", c.Partitions, wire.MaxPartitions)
	}
	if c.StreamBytes < minStreamBytes || c.StreamBytes > maxStreamBytes {
		fault("stream size %d bytes: %d to %d are possible", c.StreamBytes, int64(minStreamBytes), int64(maxStreamBytes))
	}
	if c.HelloTimeout <= 0 {
		fault("hello timeout %v: it must be above zero", c.HelloTimeout)
	}
	if strings.ContainsAny(c.Name, " \t\n") {
		fault("name %q holds a space", c.Name)
	}
	for _, listen := range []struct{ name, address string }{
		{"listen", c.Listen}, {"leaf-listen", c.LeafListen}, {"websocket-listen", c.Websocket}, {"cluster-listen", c.ClusterListen},
	} {
		if listen.address != "" || listen.name == "listen" || listen.name == "leaf-listen" {
			faults = append(faults, c.checkListen(listen.name, listen.address))
		}
	}
	faults = append(faults, c.Advertise.validate())
	return errors.Join(faults...)
}

func (a Advertise) validate() error {
	var faults []error
	if a.Leaf != "" {
		if _, port, err := splitAddress(a.Leaf); err != nil || port <= 0 {
			faults = append(faults, fmt.Errorf("leaf-advertise %q is not host:port", a.Leaf))
		}
	}
	if a.Websocket != "" {
		if u, err := readURL(a.Websocket); err != nil || u.Scheme != schemeWS && u.Scheme != schemeWSS || u.Hostname() == "" {
			faults = append(faults, fmt.Errorf("websocket-advertise %q is not ws://host:port or wss://host:port", a.Websocket))
		}
	}
	return errors.Join(faults...)
}

// checkListen lets through loopback only: one secret in clear text is no protection on a network.
func (c HubConfig) checkListen(name, address string) error {
	host, _, err := splitAddress(address)
	if err != nil {
		return fmt.Errorf("%s %q: %w", name, address, err)
	}
	if ip := net.ParseIP(host); !c.TrustNetwork && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s %q is no loopback address: without credentials a hub serves its own machine only, unless it is told to trust the network", name, address)
	}
	return nil
}

// LeafConfig describes the leaf node of an agent.
type LeafConfig struct {
	Host    string       // the host it ships for
	Writer  string       // id of the agent's state directory
	Session string       // id of the agent's process
	Hubs    []string     // nats-leaf://host:port, ws://host:port or wss://host of one or more hub nodes; the others are learnt from them
	Secret  string       // the hub's secret
	Logger  *slog.Logger // required

	Proxy func(hub *url.URL) (*url.URL, error) // the HTTP proxy to reach a hub through, nil: none; a nil func: never one
	TLS   *tls.Config                          // for wss hubs and https proxies; nil: the system's certificates
}

// Validate lists everything that is wrong with the config.
func (c LeafConfig) Validate() error {
	faults := []error{wire.ValidHost(c.Host)}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for name, id := range map[string]string{"writer": c.Writer, "session": c.Session} {
		if id == "" || strings.ContainsAny(id, ". \t\n") {
			fault("%s id %q: it must be one word without dots", name, id)
		}
	}
	if c.Logger == nil {
		fault("logger is not set")
	}
	if len(c.Hubs) == 0 {
		fault("no hub is named")
	}
	for _, hub := range c.Hubs {
		_, err := hubURL(hub)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Schemes of a hub's addresses for agents.
const (
	schemeLeaf = "nats-leaf"
	schemeWS   = "ws"
	schemeWSS  = "wss"
)

// hubURL reads the address of a hub for agents. The port of a WebSocket address may be left away.
func hubURL(hub string) (*url.URL, error) {
	u, err := readURL(hub)
	if err != nil {
		return nil, fmt.Errorf("hub address %q: %w", hub, err)
	}
	if u.User != nil {
		return nil, fmt.Errorf("hub address %q: the secret does not stand in it", u.Redacted())
	}
	switch u.Scheme {
	case schemeWS:
		u.Host = defaultPort(u, "80")
	case schemeWSS:
		u.Host = defaultPort(u, "443")
	case "http", "https":
		return nil, fmt.Errorf("hub address %q: the hub speaks WebSocket there: write %s", hub, strings.Replace(hub, "http", "ws", 1))
	case "nats", "tls":
		return nil, fmt.Errorf("hub address %q is for receivers: agents need nats-leaf://host:port, the hub's leaf listener", hub)
	case schemeLeaf:
		if strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("hub address %q is not nats-leaf://host:port", hub)
		}
	}
	if !slices.Contains([]string{schemeLeaf, schemeWS, schemeWSS}, u.Scheme) || u.Port() == "" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("hub address %q is not nats-leaf://host:port, ws://host:port or wss://host", hub)
	}
	return u, nil
}

// readURL parses an address and refuses what the parser lets through and nobody can dial: an IPv6 address without brackets, whose last group it takes for the port, and
// ports that there are not.
func readURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
		return nil, fmt.Errorf("an IPv6 address stands in brackets: %s://[fd00::1]:port", u.Scheme)
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
		return nil, fmt.Errorf("port %s is not 1 to 65535", u.Port())
	}
	return u, nil
}

func defaultPort(u *url.URL, port string) string {
	if u.Port() != "" || u.Hostname() == "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), port)
}
