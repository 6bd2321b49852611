package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

// The whole way over WebSocket and through an HTTP proxy, with cuts and a killed hub on it.
func TestAgentShipsByWebsocketThroughAProxy(t *testing.T) {
	websocket := clustertest.FreeAddress(t)
	front := clustertest.StartProxy(t, websocket)
	proxy := clustertest.StartHTTPProxy(t, "me", "secret")
	s := newSite(t, options{hub: []string{"--websocket-listen", websocket}, agent: []string{"--proxy", proxy.URL().String()}})
	s.agent.args[slices.Index(s.agent.args, s.leaf.Leaf())] = "ws://" + front.Address()
	s.hub.start().ready()
	s.receiver.start().ready()
	s.agent.start().ready()
	src := s.newSource("app.log")
	src.lines(500)
	s.arrived(src)
	front.Cut()
	src.lines(500)
	front.Heal()
	s.arrived(src)
	s.hub.kill()
	src.lines(500)
	s.hub.start().ready()
	s.settle(nil, src)
	if !slices.Contains(proxy.Asked(), front.Address()) {
		t.Errorf("the proxy was asked for %v", proxy.Asked())
	}
	if s.agent.logged("secret@") || s.agent.logged(":secret") {
		t.Error("the agent's log holds the proxy's password")
	}
}

// An agent that was given one of three nodes goes on at another when its own is killed.
func TestAgentGoesOnWhenItsHubNodeIsKilled(t *testing.T) {
	slow(t)
	dir := tempDir(t)
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("a secret of three nodes"), 0o600))
	peers := []string{"--partitions", "2", "--stream-size", "16MiB", "--secret", secret}
	var listeners, leaves []string
	for range 3 {
		listeners, leaves = append(listeners, clustertest.FreeAddress(t)), append(leaves, clustertest.FreeAddress(t))
		peers = append(peers, "--peers", listeners[len(listeners)-1])
	}
	var nodes []*role
	for i, listener := range listeners {
		at := filepath.Join(dir, "node"+string(rune('0'+i)))
		must(t, os.Mkdir(at, 0o755))
		nodes = append(nodes, newRole(t, at, "hub", append([]string{
			"--store", filepath.Join(at, "store"), "--listen", "127.0.0.1:0", "--leaf-listen", leaves[i], "--cluster-listen", listener,
		}, peers...)...).start())
	}
	for _, n := range nodes {
		n.ready()
	}
	log := filepath.Join(dir, "app.log")
	line := func(text string) {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		must(t, err)
		_, err = f.WriteString(text + "\n")
		must(t, err)
		must(t, f.Close())
	}
	line("the first")
	agent := newRole(t, dir, "agent", "--hub", "nats-leaf://"+leaves[0], "--secret", secret, "--host", host, "--state", filepath.Join(dir, "state"), "--log-format", "text", log).start()
	agent.ready()
	until(t, "the agent joins the chain", func() bool { return agent.logged("joined the chain") })
	until(t, "the agent has learnt the other nodes", func() bool { return agent.logged("other nodes of the hub were learnt") })
	for range 2 {
		at := lastLink(agent, leaves)
		links := strings.Count(string(agent.words()), "linked to the hub")
		nodes[at].kill()
		start := time.Now()
		line("after a kill")
		until(t, "the agent is linked elsewhere", func() bool {
			return strings.Count(string(agent.words()), "linked to the hub") > links && lastLink(agent, leaves) != at
		})
		t.Logf("node %d was killed; the agent is linked to %d after %v", at, lastLink(agent, leaves), time.Since(start))
		nodes[at].start().ready()
	}
	agent.stop()
	for _, n := range nodes {
		n.stop()
	}
}

// lastLink is the node to which the agent was linked last.
func lastLink(agent *role, leaves []string) int {
	words := string(agent.words())
	at, last := -1, -1
	for i, leaf := range leaves {
		if p := strings.LastIndex(words, `msg="linked to the hub" component=leaf hub=nats-leaf://`+leaf); p > last {
			at, last = i, p
		}
	}
	return at
}
