package dns_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/dns"
)

var _ cluster.Adapter = (*dns.Adapter)(nil)

// adapter asks the server of the test. Its log is returned too.
func adapter(t *testing.T, server *clustertest.DNS, cfg dns.Config) (*dns.Adapter, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	cfg.Server, cfg.Logger = server.Address(), slog.New(slog.NewTextHandler(log, nil))
	a, err := dns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, log
}

func wantRoutes(t *testing.T, a *dns.Adapter, want ...string) {
	t.Helper()
	peers, err := a.Peers(t.Context())
	if err != nil || !reflect.DeepEqual(peers, cluster.Peers{Routes: want}) {
		t.Errorf("peers are %+v (%v), want the routes %q", peers, err, want)
	}
}

func wantError(t *testing.T, a *dns.Adapter, want ...string) {
	t.Helper()
	peers, err := a.Peers(t.Context())
	if err == nil || !reflect.DeepEqual(peers, cluster.Peers{}) {
		t.Errorf("peers are %+v (%v), want none and an error", peers, err)
		return
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error is %q, want %q in it", err, part)
		}
	}
}

func TestNames(t *testing.T) {
	server := clustertest.StartDNS(t)
	server.Set("hub.test", "A 127.0.0.3", "A 127.0.0.1", "A 127.0.0.2")
	server.Set("six.test", "AAAA fdaa::2", "AAAA fdaa::1")
	server.Set("dual.test", "AAAA fdaa::9", "A 127.0.0.9")
	server.Set("hub-1.test", "A 127.0.0.1")
	server.Set("_cluster._tcp.hub.test", "SRV 0 0 6222 hub-1.test.", "SRV 0 0 6223 six.test.")
	server.Set("_none._tcp.hub.test", "SRV 0 0 0 .")
	for _, c := range []struct {
		name  string
		names []string
		want  []string
	}{
		{"a headless service", []string{"hub.test:6222"}, []string{"127.0.0.1:6222", "127.0.0.2:6222", "127.0.0.3:6222"}},
		{"IPv6", []string{"six.test:6222"}, []string{"[fdaa::1]:6222", "[fdaa::2]:6222"}},
		{"a node with both kinds is one address", []string{"dual.test:1"}, []string{"127.0.0.9:1"}},
		{"SRV", []string{"_cluster._tcp.hub.test"}, []string{"127.0.0.1:6222", "[fdaa::1]:6223", "[fdaa::2]:6223"}},
		{"mixed, each node once", []string{"nats-route://hub-1.test:6222", "hub.test:6222", "_cluster._tcp.hub.test."}, []string{"127.0.0.1:6222", "127.0.0.2:6222", "127.0.0.3:6222", "[fdaa::1]:6223", "[fdaa::2]:6223"}},
		{"a service that says it is none, beside another", []string{"_none._tcp.hub.test", "hub-1.test:1"}, []string{"127.0.0.1:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _ := adapter(t, server, dns.Config{Names: c.names})
			wantRoutes(t, a, c.want...)
		})
	}
}

// What does not fit into a packet comes over TCP, whole.
func TestManyNodes(t *testing.T) {
	server := clustertest.StartDNS(t)
	var records, want []string
	for i := range 200 {
		records = append(records, fmt.Sprintf("A 127.0.1.%d", i))
		want = append(want, fmt.Sprintf("127.0.1.%d:6222", i))
	}
	server.Set("hub.test", records...)
	a, _ := adapter(t, server, dns.Config{Names: []string{"hub.test:6222"}})
	wantRoutes(t, a, want...)
}

func TestAnswersChange(t *testing.T) {
	server := clustertest.StartDNS(t)
	names := []string{"hub-1.test:1", "hub-2.test:1", "_cluster._tcp.hub.test"}
	a, log := adapter(t, server, dns.Config{Names: names})
	wantError(t, a, "none of the names has an address", "hub-1.test", "_cluster._tcp.hub.test")

	server.Set("hub-1.test", "A 127.0.0.1")
	wantRoutes(t, a, "127.0.0.1:1")
	server.Set("hub-2.test", "A 127.0.0.2")
	server.Set("_cluster._tcp.hub.test", "SRV 0 0 1 hub-2.test.", "SRV 0 0 1 hub-3.test.")
	wantRoutes(t, a, "127.0.0.1:1", "127.0.0.2:1") // hub-3 is announced and has no address yet
	server.Set("hub-3.test", "A 127.0.0.3")
	wantRoutes(t, a, "127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1")
	server.Set("hub-3.test", "A 127.0.0.4") // moved
	wantRoutes(t, a, "127.0.0.1:1", "127.0.0.2:1", "127.0.0.4:1")
	server.Delete("hub-1.test")
	wantRoutes(t, a, "127.0.0.2:1", "127.0.0.4:1")
	wantRoutes(t, a, "127.0.0.2:1", "127.0.0.4:1")

	if got := strings.Count(log.String(), "name has no address"); got != 5 { // three at first, hub-3, hub-1 in the end, told once each
		t.Errorf("%d absences are logged, want 5:\n%s", got, log)
	}
	if !strings.Contains(log.String(), "name=hub-3.test.:1") {
		t.Errorf("the log does not tell of hub-3:\n%s", log)
	}
}

// Half an answer is none: what is missing from it would be taken for gone.
func TestFailures(t *testing.T) {
	server := clustertest.StartDNS(t)
	set := func() {
		server.Set("hub-1.test", "A 127.0.0.1")
		server.Set("hub-2.test", "A 127.0.0.2")
		server.Set("_cluster._tcp.hub.test", "SRV 0 0 1 hub-3.test.", "SRV 0 0 1 hub-4.test.")
		server.Set("hub-3.test", "A 127.0.0.3")
		server.Set("hub-4.test", "A 127.0.0.4")
	}
	for _, c := range []struct {
		name, host, kind, code string
		want                   []string
	}{
		{"one name fails", "hub-2.test", "A", "SERVFAIL", []string{"look up hub-2.test:1", "127.0.0.1:1"}},
		{"one question of a name fails", "hub-2.test", "AAAA", "SERVFAIL", []string{"look up hub-2.test:1"}},
		{"one name is refused", "hub-2.test", "A", "REFUSED", nil},
		{"SRV fails", "_cluster._tcp.hub.test", "SRV", "SERVFAIL", []string{"look up _cluster._tcp.hub.test"}},
		{"one target fails", "hub-4.test", "A", "SERVFAIL", []string{"look up _cluster._tcp.hub.test", "hub-4.test"}},
		{"no answer", "hub-1.test", "A", "", []string{"look up hub-1.test:1", "timeout"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set()
			timeout := 30 * time.Second
			if c.code == "" {
				server.Mute(c.host, c.kind)
				timeout = 300 * time.Millisecond
			} else {
				server.Fail(c.host, c.kind, c.code)
			}
			a, _ := adapter(t, server, dns.Config{Names: []string{"hub-1.test:1", "hub-2.test:1", "_cluster._tcp.hub.test"}, Timeout: timeout})
			if c.code == "REFUSED" {
				server.Fail(c.host, "AAAA", c.code)
			}
			wantError(t, a, c.want...)
		})
	}
}

func TestNoServer(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := packets.LocalAddr().String()
	if err := packets.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := dns.New(dns.Config{Names: []string{"hub.test:1"}, Server: server, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, a, "look up hub.test:1", "connection refused")
}

func TestEndsWithContext(t *testing.T) {
	server := clustertest.StartDNS(t)
	server.Mute("hub.test", "A")
	a, _ := adapter(t, server, dns.Config{Names: []string{"hub.test:1"}, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := a.Peers(ctx)
		ended <- err
	}()
	clustertest.Until(t, "the question is asked", func() bool { return slices.Contains(server.Asked(), "A hub.test.") })
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error after the context has ended")
	}
}

func TestSelf(t *testing.T) {
	server := clustertest.StartDNS(t)
	server.Set("hub.test", "A 203.0.113.1", "A 203.0.113.2")
	names := []string{"hub.test:1"}

	given, _ := adapter(t, server, dns.Config{Names: names, Host: "127.0.0.7", Name: "n", Nodes: 3, Region: "r", Zone: "z"})
	want := cluster.Self{Name: "n", Host: "127.0.0.7", Nodes: 3, Region: "r", Zone: "z"}
	if got, err := given.Self(t.Context()); err != nil || got != want {
		t.Errorf("self is %+v (%v), want %+v", got, err, want)
	}

	sought, _ := adapter(t, server, dns.Config{Names: names, Name: "n"})
	if got, err := sought.Self(t.Context()); err == nil || !strings.Contains(err.Error(), "none of this machine's") || !strings.Contains(err.Error(), "203.0.113.2:1") {
		t.Errorf("self is %+v (%v), want an error with both lists: it is not in DNS yet", got, err)
	}
	server.Set("hub.test", "A 203.0.113.1", "A 127.0.0.1")
	if got, err := sought.Self(t.Context()); err != nil || got.Host != "127.0.0.1" {
		t.Errorf("self is %+v (%v), want the host 127.0.0.1", got, err)
	}
	server.Fail("hub.test", "A", "SERVFAIL")
	if got, err := sought.Self(t.Context()); err == nil {
		t.Errorf("self is %+v, want an error while the server fails", got)
	}

	unnamed, _ := adapter(t, server, dns.Config{Names: names, Host: "h"})
	if got, err := unnamed.Self(t.Context()); err != nil || got.Name == "" {
		t.Errorf("self is %+v (%v), want the machine's name", got, err)
	}
}

func TestSelfOverIPv6(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6 loopback")
	}
	_ = listener.Close()
	server := clustertest.StartDNS(t)
	server.Set("hub.test", "AAAA ::1", "AAAA 2001:db8::1")
	a, _ := adapter(t, server, dns.Config{Names: []string{"hub.test:1"}})
	if got, err := a.Self(t.Context()); err != nil || got.Host != "::1" {
		t.Errorf("self is %+v (%v), want the host ::1", got, err)
	}
	wantRoutes(t, a, "[::1]:1", "[2001:db8::1]:1")
}

func TestConfig(t *testing.T) {
	_, err := dns.New(dns.Config{
		Names: []string{"hub", "hub:0", "10.0.0.1:1", "_cluster.hub.test", "_cluster._tcp.hub.test:1", "a b:1"},
		Nodes: -1, Timeout: -time.Second, Server: "localhost:53",
	})
	for _, want := range []string{`"hub" is neither`, `port "0"`, `"10.0.0.1:1" is an address`, `"_cluster.hub.test" is not`, `"_cluster._tcp.hub.test:1" is not`, `"a b:1" is neither`, "-1 nodes", "timeout -1s", `server "localhost:53"`, "logger is not set"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
	if _, err := dns.New(dns.Config{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "no names") {
		t.Errorf("error is %v, want one that says that no names are given", err)
	}
}
