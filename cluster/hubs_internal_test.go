package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

func hubsOf(t *testing.T, resolve func(string) ([]string, error), named ...string) *hubs {
	t.Helper()
	s := &hubs{direct: func(u *url.URL) bool { return u.Port() != "3128" }}
	s.resolve = func(_ context.Context, host string) ([]string, error) { return resolve(host) }
	var urls []*url.URL
	for _, n := range named {
		u, err := hubURL(n)
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, u)
	}
	s.named = func() []*url.URL { return urls }
	return s
}

func nobody(string) ([]string, error) { return nil, errors.New("no such host") }

func told(serving bool, leaves ...string) wire.Nodes {
	n := wire.Nodes{Name: "hub-0", Serving: serving}
	for i, leaf := range leaves {
		n.Nodes = append(n.Nodes, wire.Node{Name: fmt.Sprintf("hub-%d", i), Leaf: leaf, Websocket: "wss://" + leaf})
	}
	return n
}

func wants(t *testing.T, s *hubs, want ...string) {
	t.Helper()
	got := s.list()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("known are %v, want %v", got, want)
	}
}

func TestNameStandsForAllItsAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addresses := []string{"10.0.0.1", "10.0.0.2", "fd00::3"}
		s := hubsOf(t, func(string) ([]string, error) { return slices.Clone(addresses), nil }, "nats-leaf://hub.example:7422")
		tried := map[string]bool{}
		for range 3 { // each once, before any of them again
			h := s.next(t.Context())
			h.failed = time.Now()
			tried[h.url.Host] = true
			time.Sleep(time.Second)
		}
		if len(tried) != 3 {
			t.Errorf("tried %v", tried)
		}
		addresses = []string{"10.0.0.4"}
		if h := s.next(t.Context()); h.url.Host != "10.0.0.4:7422" {
			t.Errorf("the name stands for another address now, and %s is dialled", h.url.Host)
		}
		wants(t, s, "nats-leaf://10.0.0.4:7422")
	})
}

func TestNamesThatAreLeftToTheDialler(t *testing.T) {
	for _, hub := range []string{"nats-leaf://hub.example:3128", "wss://hub.example:443", "ws://hub.example:80/logs"} { // the port of the first is one behind a proxy
		s := hubsOf(t, func(string) ([]string, error) { return []string{"10.0.0.1"}, nil }, hub)
		s.next(t.Context())
		wants(t, s, hub)
	}
	s := hubsOf(t, nobody, "nats-leaf://hub.example:7422")
	s.next(t.Context())
	wants(t, s, "nats-leaf://hub.example:7422")
}

func TestNodesAreLearntAndForgotten(t *testing.T) {
	s := hubsOf(t, nobody, "nats-leaf://10.0.0.9:7422") // node 0, by an address that it does not tell
	via := s.next(t.Context())
	s.learn(told(true, "10.0.0.1:7422", "10.0.0.2:7422", "127.0.0.1:7422", ""), via)
	wants(t, s, "nats-leaf://10.0.0.9:7422", "nats-leaf://10.0.0.2:7422") // the loopback of another machine is of no use
	s.learn(told(false, "10.0.0.1:7422"), via)
	wants(t, s, "nats-leaf://10.0.0.9:7422", "nats-leaf://10.0.0.2:7422") // who is cut off does not know
	s.learn(told(true, "10.0.0.1:7422", "10.0.0.3:7422"), via)
	wants(t, s, "nats-leaf://10.0.0.9:7422", "nats-leaf://10.0.0.3:7422")

	six := hubsOf(t, nobody, "nats-leaf://[fd00::9]:7422")
	six.learn(told(true, "[fd00::1]:7422", "[fd00::2]:7422", "[::1]:7422", "fd00::4:7422"), six.next(t.Context()))
	wants(t, six, "nats-leaf://[fd00::9]:7422", "nats-leaf://[fd00::2]:7422")
	own := hubsOf(t, nobody, "nats-leaf://[::1]:7422")
	own.learn(told(true, "[::1]:7422", "[::1]:7423"), own.next(t.Context()))
	wants(t, own, "nats-leaf://[::1]:7422", "nats-leaf://[::1]:7423")

	w := hubsOf(t, nobody, "wss://hub.example")
	w.learn(told(true, "a.example:443", "b.example:8443"), w.next(t.Context()))
	wants(t, w, "wss://hub.example:443", "wss://b.example:8443")
}

func TestListenerOfEveryAddressIsReachedAtTheNodesHost(t *testing.T) {
	for _, c := range []struct{ listener, host, want string }{
		{"[::1]:7422", "fd00::1", "[::1]:7422"},
		{"[::]:7422", "fd00::1", "[fd00::1]:7422"},
		{"0.0.0.0:7422", "10.0.0.1", "10.0.0.1:7422"},
		{":7422", "hub-1.example", "hub-1.example:7422"},
		{"[::]:7422", "", ""},
	} {
		if got := reachable(c.listener, c.host); got != c.want {
			t.Errorf("%s at host %q is told as %q, want %q", c.listener, c.host, got, c.want)
		}
	}
}

// A dead address costs one failed dial a round, whether it is configured or learnt.
func TestDeadAddressIsAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hubsOf(t, nobody, "nats-leaf://10.0.0.1:7422", "nats-leaf://10.0.0.2:7422", "nats-leaf://10.0.0.3:7422")
		s.next(t.Context())
		dead := s.all[1]
		dead.failed = time.Now()
		for range 100 {
			if s.next(t.Context()) == dead {
				t.Fatal("the dead one is chosen")
			}
		}
		time.Sleep(avoidFor + time.Millisecond)
		chosen := false
		for range 100 {
			chosen = chosen || s.next(t.Context()) == dead
		}
		if !chosen {
			t.Error("it is never tried again")
		}
	})
}

func TestAgentsOfAGrowingHubMoveOnlyToTheNewNode(t *testing.T) {
	at := map[int]int{}
	for range 3000 {
		s := hubsOf(t, nobody, "nats-leaf://10.0.0.9:7422")
		steer := &steering{hubs: s}
		via := s.next(t.Context())
		two := told(true, "10.0.0.0:7422", "10.0.0.1:7422")
		place := 0
		if to := steer.share(two, s.learn(two, via)); to != nil && to != via {
			place, via = 1, to
		}
		three := told(true, "10.0.0.0:7422", "10.0.0.1:7422", "10.0.0.2:7422")
		three.Name = two.Nodes[place].Name
		there := s.learn(three, via)
		if to := steer.share(three, there); to != nil {
			t.Fatal("all at once")
		}
		steer.moveAt = time.Time{}
		if to := steer.share(three, there); to != nil && to != via {
			if to.node != "hub-2" {
				t.Fatalf("from node %d to %s", place, to.node)
			}
			place = 2
		}
		at[place]++
	}
	for place, n := range at {
		if n < 850 || n > 1150 {
			t.Errorf("node %d has %d of 3000 agents: %v", place, n, at)
		}
	}
}

// A node that is cut off from the others is left after a while, and if all are, ever more slowly.
func TestNodeThatIsCutOffIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &steering{hubs: hubsOf(t, nobody, "nats-leaf://10.0.0.1:7422", "nats-leaf://10.0.0.2:7422"), bear: bearLeast}
		at := s.hubs.next(t.Context())
		for _, after := range []time.Duration{bearLeast, 2 * bearLeast, 4 * bearLeast} {
			p := &pulse{steering: s, at: at}
			start := time.Now()
			for p.cutOff() == "" {
				time.Sleep(100 * time.Millisecond)
			}
			if took := time.Since(start); took != after {
				t.Errorf("left after %v, want %v", took, after)
			}
		}
		s.hubs.all = []*hub{at}
		p := &pulse{steering: s, at: at}
		for range 1000 {
			if reason := p.cutOff(); reason != "" {
				t.Fatal("there is no other node, and yet it is left")
			}
			time.Sleep(time.Second)
		}
	})
}
