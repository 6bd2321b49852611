package cluster

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Accounts and users of a hub.
const (
	accountLogs   = "LOGS"   // owns the streams; receivers and the hub's own clients
	accountAgents = "AGENTS" // what agents see: the services logs.*, hello.* and nodes.*.*, and nothing else
	userReceiver  = "receiver"
	userAgent     = "agent"
	domain        = "hub"    // of JetStream
	inboxes       = "_INBOX" // first token of the subjects of answers to agents; the second is the host
)

// Times and sizes of both servers. A link whose other end is gone without a word is noticed after pingEvery * (maxPings + 1) = 15 s.
const (
	pingEvery     = 5 * time.Second
	maxPings      = 2
	writeDeadline = 10 * time.Second
	dialTimeout   = 5 * time.Second
	relinkEvery   = 250 * time.Millisecond
	redialNever   = 10 * time.Second // until the leaf's server itself would dial again: the steering has done so long before
	maxPending    = 256 << 20        // bytes that may wait for one connection before it is cut
	bucketBytes   = 4 << 30          // most that the key-value bucket may hold
	spareBytes    = 1 << 30          // store beyond the streams and the bucket: streams may be given more for a while, to drain a full one
	serverBytes   = 1 << 62          // the server's own limit, never reached: that of the account follows the layout while the server runs, this one could not
	maxMemory     = 256 << 20        // of JetStream: only short-lived consumers live there
	maxHeaders    = 64 << 10         // the server's limit on the headers of a message
)

// accounts is the part of the configuration that the server's options cannot express: an account made in code has no JetStream.
// An agent's leaf in the account of the streams could forge acknowledgements; in an account of its own it cannot even name them.
const accounts = `
system_account: SYS
accounts {
  SYS {}
  LOGS {
    jetstream { max_mem: %d, max_file: %d }
    exports [ { service: "logs.*" }, { service: "hello.*" }, { service: "nodes.*.*" } ]
  }
  AGENTS {
    imports [ { service: { account: LOGS, subject: "logs.*" } }, { service: { account: LOGS, subject: "hello.*" } }, { service: { account: LOGS, subject: "nodes.*.*" } } ]
  }
}`

// storeBytes is what the server may keep on disk for layouts.
func storeBytes(layouts ...wire.Layout) int64 {
	return streamBytes(layouts...) + bucketBytes + spareBytes
}

// streamBytes is what the streams of layouts may hold.
func streamBytes(layouts ...wire.Layout) (sum int64) {
	for _, l := range layouts {
		sum += int64(l.Partitions) * l.StreamBytes
	}
	return sum
}

// hubOptions configures the server of a hub node whose account of streams may keep so many bytes.
func hubOptions(cfg HubConfig, limit int64) (*server.Options, error) {
	o := baseOptions(cfg.Name)
	if err := o.ProcessConfigString(fmt.Sprintf(accounts, int64(maxMemory), limit)); err != nil {
		return nil, fmt.Errorf("configure accounts: %w", err)
	}
	var err error
	if o.Host, o.Port, err = splitAddress(cfg.Listen); err != nil {
		return nil, err
	}
	if err := listenForAgents(o, cfg); err != nil {
		return nil, err
	}
	o.JetStream = true
	o.JetStreamDomain = domain
	o.StoreDir = cfg.StoreDir
	o.JetStreamMaxMemory = maxMemory
	o.JetStreamMaxStore = serverBytes // beyond the server's limit JetStream ends; beyond the account's, publishes are refused
	o.SyncAlways = true
	o.Users = users(o.Accounts, cfg.Secret)
	return o, nil
}

// listenForAgents opens the listeners of agents.
func listenForAgents(o *server.Options, cfg HubConfig) (err error) {
	if o.LeafNode.Host, o.LeafNode.Port, err = splitAddress(cfg.LeafListen); err != nil {
		return err
	}
	o.LeafNode.NoAdvertise = true
	o.LeafNode.IsolateLeafnodeInterest = true
	o.LeafNode.Compression.Mode = server.CompressionOff
	o.LeafNode.WriteDeadline = writeDeadline
	if cfg.Websocket == "" {
		return nil
	}
	if o.Websocket.Host, o.Websocket.Port, err = splitAddress(cfg.Websocket); err != nil {
		return err
	}
	o.Websocket.NoTLS = true // whoever serves it to a network that is not trusted ends TLS before it
	o.Websocket.HandshakeTimeout = dialTimeout
	return nil
}

// users are the two that may log in. The agents' one is bound by permissions too: inside AGENTS, what one leaf publishes would reach
// every other that subscribes to it.
func users(accounts []*server.Account, secret string) []*server.User {
	account := map[string]*server.Account{}
	for _, a := range accounts {
		account[a.Name] = a
	}
	allow := func(subjects ...string) *server.SubjectPermission { return &server.SubjectPermission{Allow: subjects} }
	return []*server.User{{
		Username: userReceiver, Password: secret, Account: account[accountLogs],
		AllowedConnectionTypes: map[string]struct{}{jwt.ConnectionTypeStandard: {}, jwt.ConnectionTypeInProcess: {}},
	}, {
		Username: userAgent, Password: secret, Account: account[accountAgents],
		AllowedConnectionTypes: map[string]struct{}{jwt.ConnectionTypeLeafnode: {}, jwt.ConnectionTypeLeafnodeWS: {}},
		Permissions: &server.Permissions{
			Publish:   allow(wire.LogSubjects, wire.HelloSubjects, wire.NodesSubjects),
			Subscribe: allow(inboxes + ".*.>"),
		},
	}}
}

// leafOptions configures the server of an agent's leaf. It has no remote: see steering.
func leafOptions(cfg LeafConfig) *server.Options {
	o := baseOptions(wire.LeafName(cfg.Host, cfg.Writer, cfg.Session))
	o.DontListen = true
	o.LeafNode.ReconnectInterval = redialNever
	o.LeafNode.WriteDeadline = writeDeadline
	o.ConnectErrorReports, o.ReconnectErrorReports = 1, 1 // every failure is wanted for Link; serverLog keeps them from the log
	return o
}

// leafRemote makes the leaf dial a hub. Masking stays on: what reads WebSocket on the way may insist on it.
func leafRemote(cfg LeafConfig, hub *url.URL) (*server.RemoteLeafOpts, error) {
	remote := &server.RemoteLeafOpts{
		URLs: []*url.URL{hub}, IgnoreDiscoveredServers: true, DialTimeout: dialTimeout, FirstInfoTimeout: dialTimeout,
	}
	remote.Compression.Mode = server.CompressionOff
	if hub.Scheme == schemeWSS {
		remote.TLS, remote.TLSConfig = true, tlsConfig(cfg)
	}
	proxy, err := proxyOf(cfg, hub)
	if err != nil || proxy == nil {
		return remote, err
	}
	remote.Proxy.URL = (&url.URL{Scheme: proxy.Scheme, Host: proxy.Host}).String()
	remote.Proxy.Username = proxy.User.Username()
	remote.Proxy.Password, _ = proxy.User.Password()
	if proxy.Scheme == "https" {
		remote.Proxy.TLSConfig = tlsConfig(cfg)
	}
	return remote, nil
}

func tlsConfig(cfg LeafConfig) *tls.Config {
	if cfg.TLS == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return cfg.TLS.Clone()
}

// proxyOf is the HTTP proxy before a hub, or nil. The function of the config does not see the secret.
func proxyOf(cfg LeafConfig, hub *url.URL) (*url.URL, error) {
	if cfg.Proxy == nil {
		return nil, nil
	}
	asked := *hub
	asked.User = nil
	proxy, err := cfg.Proxy(&asked)
	if err != nil {
		return nil, fmt.Errorf("choose the proxy for %s: %w", asked.Host, err)
	}
	return proxy, nil
}

// baseOptions is what both servers share. Payloads are compressed by agents already, so links are not.
func baseOptions(name string) *server.Options {
	return &server.Options{
		ServerName:    name,
		NoSigs:        true, // else the server ends the process on a signal, before anything is drained
		MaxPayload:    wire.MaxPayload,
		MaxPending:    maxPending,
		PingInterval:  pingEvery,
		MaxPingsOut:   maxPings,
		WriteDeadline: writeDeadline,
	}
}

// splitAddress reads host:port. Port 0, the system's choice, is -1 to the server.
func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q is not host:port: %w", address, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: %q is no port", address, text)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// Addresses are where a hub is reached.
type Addresses struct {
	Client    string `json:"client,omitempty"`    // nats://host:port for receivers; "": it is a relay
	Leaf      string `json:"leaf"`                // nats-leaf://host:port for agents
	Websocket string `json:"websocket,omitempty"` // ws://host:port for agents; "": none
}

func addresses(cfg HubConfig, s *server.Server) (Addresses, error) {
	v, err := s.Varz(nil)
	if err != nil {
		return Addresses{}, fmt.Errorf("read listeners: %w", err)
	}
	a := Addresses{
		Client: "nats://" + withPort(cfg.Listen, v.Port),
		Leaf:   "nats-leaf://" + withPort(cfg.LeafListen, v.LeafNode.Port),
	}
	if cfg.Websocket != "" {
		a.Websocket = "ws://" + withPort(cfg.Websocket, v.Websocket.Port)
	}
	return a, nil
}

// withPort is an address that is valid already, with the port that the system chose.
func withPort(address string, port int) string {
	host, _, _ := net.SplitHostPort(address)
	return net.JoinHostPort(host, strconv.Itoa(port))
}
