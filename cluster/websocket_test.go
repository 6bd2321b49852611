package cluster_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

func startWebsocketHub(t *testing.T) *clustertest.Hub {
	t.Helper()
	cfg := clustertest.Config()
	cfg.Websocket = "127.0.0.1:0"
	return clustertest.Start(t, cfg)
}

// startFront is what serves a hub to a network: it ends TLS on one port, and forwards to the hub's WebSocket listener.
func startFront(t *testing.T, hub *clustertest.Hub) (address string, trust *tls.Config) {
	t.Helper()
	target, err := url.Parse(strings.Replace(hub.Addresses().Websocket, "ws", "http", 1))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(target))
	t.Cleanup(front.Close)
	roots := x509.NewCertPool()
	roots.AddCert(front.Certificate())
	return strings.Replace(front.URL, "https", "wss", 1), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func through(proxy *url.URL) func(*url.URL) (*url.URL, error) {
	return func(*url.URL) (*url.URL, error) { return proxy, nil }
}

func TestLeafByWebsocket(t *testing.T) {
	hub := startWebsocketHub(t)
	front, trust := startFront(t, hub)
	proxy, guarded := clustertest.StartHTTPProxy(t, "", ""), clustertest.StartHTTPProxy(t, "me", "p:ss@word")
	for name, c := range map[string]struct {
		hub   string
		proxy *clustertest.HTTPProxy
	}{
		"ws":                              {hub: hub.Addresses().Websocket},
		"wss":                             {hub: front},
		"ws through a proxy":              {hub.Addresses().Websocket, proxy},
		"wss through a proxy":             {front, proxy},
		"wss through a proxy with a user": {front, guarded},
		"leaf through a proxy":            {hub.Addresses().Leaf, proxy},
	} {
		t.Run(name, func(t *testing.T) {
			host := strings.ReplaceAll(name, " ", "-")
			cfg := cluster.LeafConfig{Host: host, Writer: "w-" + host, Session: "s-" + host, Hubs: []string{c.hub}, Secret: hub.Secret(), TLS: trust}
			if c.proxy != nil {
				cfg.Proxy = through(c.proxy.URL())
			}
			s := ship(t, clustertest.NewLeaf(t, cfg).Client(t), host)
			for range 20 {
				s.publish()
			}
			s.check()
			u, _ := url.Parse(c.hub)
			if c.proxy != nil && !slices.Contains(c.proxy.Asked(), u.Host) {
				t.Errorf("the proxy was asked for %v, not for %s", c.proxy.Asked(), u.Host)
			}
		})
	}
}

// A batch of the greatest size passes, masked and in one piece.
func TestLeafByWebsocketCarriesLargeBatches(t *testing.T) {
	hub := startWebsocketHub(t)
	nc := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Websocket).Client(t)
	w := clustertest.Hello(t, nc, "web1", hello("a", 0))
	raw := make([]byte, 7<<20)
	for i := range raw {
		raw[i] = byte(i * i >> 8)
	}
	if _, err := clustertest.Publish(nc, clustertest.Batch("web1", "w-a", 1, "/x", 0, raw), w.Stream, 0); err != nil {
		t.Fatal(err)
	}
}

func TestLeafSaysWhyItHasNoWebsocket(t *testing.T) {
	hub := startWebsocketHub(t)
	at := hub.Addresses()
	front, trust := startFront(t, hub)
	guarded := clustertest.StartHTTPProxy(t, "me", "secret")
	stranger := guarded.URL()
	stranger.User = nil
	nobody := clustertest.FreeAddress(t)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for name, c := range map[string]struct {
		hub, want string
		proxy     *url.URL
		trust     *tls.Config
	}{
		"ws at the leaf port":      {hub: "ws" + strings.TrimPrefix(at.Leaf, "nats-leaf"), want: "nats-leaf://"},
		"leaf at the ws port":      {hub: "nats-leaf" + strings.TrimPrefix(at.Websocket, "ws"), want: "ws://"},
		"wss at the ws port":       {hub: "wss" + strings.TrimPrefix(at.Websocket, "ws"), want: "ws://"},
		"ws at the wss port":       {hub: "ws" + strings.TrimPrefix(front, "wss"), want: "wss://"},
		"certificate not trusted":  {hub: front, want: "certificate"},
		"a web server":             {hub: strings.Replace(web.URL, "http", "ws", 1), want: "--websocket-listen"},
		"proxy asks for a user":    {hub: at.Websocket, want: "407", proxy: stranger},
		"proxy is not there":       {hub: at.Websocket, want: "--proxy", proxy: &url.URL{Scheme: "http", Host: nobody}},
		"hub not there by a proxy": {hub: "ws://" + nobody, want: "502", proxy: guarded.URL(), trust: trust},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && strings.HasPrefix(name, "leaf") {
				t.Skip("waits until the leaf gives up")
			}
			t.Parallel()
			cfg := cluster.LeafConfig{Host: "web1", Writer: "w", Session: "s", Hubs: []string{c.hub}, Secret: hub.Secret(), TLS: c.trust}
			if c.proxy != nil {
				cfg.Proxy = through(c.proxy)
			}
			leaf := clustertest.NewLeaf(t, cfg)
			clustertest.Until(t, "the link has a fault", func() bool { return leaf.Link().Fault != "" })
			if l := leaf.Link(); l.Up || !strings.Contains(l.Fault, c.want) {
				t.Errorf("got %+v, want it to say %q", l, c.want)
			}
		})
	}
}

func TestLeafConfigRefusesAddressesThatCannotBe(t *testing.T) {
	for hub, want := range map[string]string{
		"https://hub.example":           "wss://hub.example",
		"http://hub.example:8080":       "ws://hub.example:8080",
		"nats://hub.example:4222":       "is for receivers",
		"nats-leaf://hub.example":       "is not nats-leaf://host:port",
		"wss://agent:secret@hub":        "the secret does not stand in it",
		"wss://":                        "is not nats-leaf://host:port",
		"nats-leaf://hub:7422/leafnode": "is not nats-leaf://host:port",
		"nats-leaf://hub:0":             "port 0 is not 1 to 65535",
		"nats-leaf://hub:65536":         "port 65536 is not",
		"nats-leaf://[::1]":             "is not nats-leaf://host:port",
		"nats-leaf://fd00::1:7422":      "an IPv6 address stands in brackets",
		"nats-leaf://::1":               "an IPv6 address stands in brackets",
		"wss://::1":                     "an IPv6 address stands in brackets",
	} {
		err := cluster.LeafConfig{Host: "h", Writer: "w", Session: "s", Hubs: []string{hub}, Logger: clustertest.Logger(t)}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to say %q", hub, err, want)
		}
	}
	for _, hub := range []string{"ws://hub", "wss://hub.example", "wss://hub.example:8443/logs", "nats-leaf://[::1]:7422", "ws://[::1]", "wss://[::1]:8443"} {
		if err := (cluster.LeafConfig{Host: "h", Writer: "w", Session: "s", Hubs: []string{hub}, Logger: clustertest.Logger(t)}).Validate(); err != nil {
			t.Errorf("%s: %v", hub, err)
		}
	}
}

// The agents' user is no client over WebSocket either.
func TestWebsocketListenerTakesNoClients(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until the client gives up")
	}
	hub := startWebsocketHub(t)
	if nc, err := cluster.Connect("nats"+strings.TrimPrefix(hub.Addresses().Websocket, "ws"), hub.Secret()); err == nil {
		nc.Close()
		t.Error("a receiver came in")
	}
}
