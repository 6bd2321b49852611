package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

const loopback6 = "::1"

// needIPv6 skips a test where the machine has no IPv6 loopback.
func needIPv6(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(loopback6, "0"))
	if err != nil {
		t.Skipf("this machine has no %s: %v", loopback6, err)
	}
	must(t, l.Close())
}

// newSite6 makes a site of three nodes without proxies: everything listens on IPv6 loopback. peers names the nodes by their listeners; receiver and agent
// are told of the first node alone, the agent by name.
func newSite6(t testing.TB, program string, env []string, name string, peers func(listeners []string) []string) *site {
	t.Helper()
	s := &site{t: t, dir: tempDir(t)}
	s.archiveDir, s.stateDir, s.secret = s.path("archive"), s.path("state"), s.path("secret")
	must(t, os.WriteFile(s.secret, []byte("secret of a hub on IPv6\n"), 0o600))
	must(t, os.MkdirAll(s.path("logs"), 0o755))
	var listeners []string
	for range hubSize {
		listeners = append(listeners, clustertest.FreeAddressOn(t, loopback6))
	}
	for i, listener := range listeners {
		client, leaf, dir := clustertest.FreeAddressOn(t, loopback6), clustertest.FreeAddressOn(t, loopback6), s.path(fmt.Sprintf("node%d", i+1))
		n := &hubNode{number: i, store: filepath.Join(dir, "store"), clientURL: "nats://" + client, leafURL: "nats-leaf://" + leaf}
		must(t, os.MkdirAll(dir, 0o755))
		n.role = newRole(t, dir, "hub", append([]string{
			"--store", n.store, "--secret", s.secret, "--partitions", "2", "--stream-size", "16MiB", "--nodes", fmt.Sprint(hubSize),
			"--listen", client, "--leaf-listen", leaf, "--cluster-listen", listener, "--http-listen", net.JoinHostPort(loopback6, "0"),
		}, peers(listeners)...)...).as(filepath.Base(dir))
		s.nodes = append(s.nodes, n)
	}
	first := s.nodes[0]
	s.hub, s.clientURL, s.leafURL = first.role, first.clientURL, first.leafURL
	s.receiver = newRole(t, s.dir, "receiver", "--hub", first.clientURL, "--secret", s.secret, "--archive", s.archiveDir, "--lookback", "1s")
	s.agent = newRole(t, s.dir, "agent", "--hub", strings.Replace(first.leafURL, "["+loopback6+"]", name, 1), "--secret", s.secret, "--host", host, "--state", s.stateDir, "--log-format", "text", s.path("logs/*.log"))
	for _, r := range s.roles() {
		r.program, r.user = program, env
	}
	return s
}

// Hub, receiver and agent on IPv6 alone, named by addresses and by DNS. Receiver and agent are told of one node, and go on at those that they have learnt of.
func TestIPv6(t *testing.T) {
	needIPv6(t)
	t.Run("static", func(t *testing.T) {
		slow(t)
		losesNodes6(t, newSite6(t, "", nil, "["+loopback6+"]", func(listeners []string) (flags []string) {
			for _, l := range listeners {
				flags = append(flags, "--peers", l)
			}
			return flags
		}))
	})
	t.Run("dns", func(t *testing.T) {
		slow(t)
		dns := clustertest.StartDNS(t)
		dns.Set("hub.test", "AAAA "+loopback6)
		losesNodes6(t, newSite6(t, resolving(t), []string{"env", resolverVariable + "=" + dns.Address()}, "hub.test", func(listeners []string) (flags []string) {
			for _, l := range listeners {
				_, port, _ := net.SplitHostPort(l)
				flags = append(flags, "--peers", "dns://hub.test:"+port+"?server="+dns.Address())
			}
			return flags
		}))
	})
}

// losesNodes6 kills two nodes under load, one after the other: the one that the receiver was told of, and then the one that the agent has gone to.
func losesNodes6(t *testing.T, s *site) {
	t.Helper()
	r := random(t)
	s.startAll()
	p := s.pulse()
	sources, stop := s.writers(r)
	p.beats(s)
	until(t, "the agent has learnt the other nodes", func() bool { return s.agent.logged("other nodes of the hub were learnt") })
	var leaves []string
	for _, n := range s.nodes {
		leaves = append(leaves, strings.TrimPrefix(n.leafURL, "nats-leaf://"))
	}
	for _, victim := range []func() int{func() int { return 0 }, func() int { return lastLink(s.agent, leaves) }} {
		at := victim()
		s.nodes[at].kill()
		p.longest()
		p.beats(s)
		until(t, "the agent is linked to a node that lives", func() bool { return lastLink(s.agent, leaves) != at })
		t.Logf("without node %d; the agent is linked to %d; nothing was archived for %v", at, lastLink(s.agent, leaves), p.longest())
		s.nodes[at].start().well()
	}
	stop()
	p.stop()
	s.settle(nil, append(sources, p.source)...)
}
