package election_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/election"
)

// remote is a candidate behind a proxy of its own.
type remote struct {
	*runner
	who   string
	proxy *clustertest.Proxy
}

// connect makes a client that goes through p.
func connect(t *testing.T, hub *clustertest.Hub, p *clustertest.Proxy) *nats.Conn {
	t.Helper()
	nc, err := cluster.Connect(p.Client(), hub.Secret(), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func startRemote(t *testing.T, hub *clustertest.Hub, who string, h *history) *remote {
	t.Helper()
	p := clustertest.StartProxy(t, hub.Addresses().Client)
	nc := connect(t, hub, p)
	return &remote{run(t, lease(t, nc), config(t, who), duty(who, resource(t, nc), h.tell)), who, p}
}

// What a leader sent is held up for longer than its lease: it leaves before another leads, and what arrives late, its resignation as well, changes nothing.
func TestDelayedRenewal(t *testing.T) {
	t.Parallel()
	hub, h := clustertest.Start(t, clustertest.Config()), &history{}
	a := startRemote(t, hub, "a", h)
	leader := h.writes(t, 0, "")
	b := startRemote(t, hub, "b", h)
	a.proxy.Blackhole()
	next := h.writes(t, leader.Term, "a")
	end := h.await(t, "a ends", func(e event) bool { return e.Who == "a" && e.What == "end" })
	if end.Cause != election.ErrLost.Error() {
		t.Errorf("the cause is %q", end.Cause)
	}
	t.Logf("a ended %v before b wrote", next.At.Sub(end.At))
	a.proxy.Heal()
	a.proxy.Release()
	before := h.count("b", "wrote")
	clustertest.Until(t, "b goes on writing", func() bool { return h.count("b", "wrote") > before+20 })
	for _, e := range h.all() { // a starved machine may cost b its lease as well; that is another cause
		if e.Who == "b" && e.What == "end" && strings.Contains(e.Cause, election.ErrDeposed.Error()) {
			t.Errorf("b was deposed by what came late: %+v", e)
		}
	}
	_, _ = a.stop(t), b.stop(t)
	h.checkFence(t)
	h.checkReigns(t)
}

// Renewals that take their time, but not too much, keep the lease.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes two leases")
	}
	hub, h := clustertest.Start(t, clustertest.Config()), &history{}
	a := startRemote(t, hub, "a", h)
	h.writes(t, 0, "")
	b := startRemote(t, hub, "b", h)
	a.proxy.Delay(75 * time.Millisecond)
	time.Sleep(2 * ttl)
	if n := h.count("a", "end") + h.count("b", "begin"); n != 0 {
		t.Error("the lease moved")
	}
	_, _ = a.stop(t), b.stop(t)
	h.checkFence(t)
	h.checkReigns(t)
}

// A seeded schedule of cuts, holds and delays on the links of three candidates.
func TestBadNetworks(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 12 s")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	hub, h := clustertest.Start(t, clustertest.Config()), &history{}
	var all []*remote
	for i := range 3 {
		all = append(all, startRemote(t, hub, fmt.Sprint("candidate", i), h))
	}
	h.writes(t, 0, "")
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); {
		p := all[random.IntN(len(all))].proxy
		switch random.IntN(5) {
		case 0:
			p.Cut()
		case 1:
			p.Blackhole()
		case 2:
			p.Delay(time.Duration(random.Int64N(int64(ttl / 4))))
		default:
			p.Delay(0)
			p.Heal()
			p.Release()
		}
		time.Sleep(time.Duration(random.Int64N(int64(ttl / 3))))
	}
	for _, r := range all {
		r.proxy.Delay(0)
		r.proxy.Heal()
		r.proxy.Release()
	}
	before := len(h.all())
	clustertest.Until(t, "someone writes in a good network", func() bool { return len(h.all()) > before+50 })
	for _, r := range all {
		_ = r.stop(t)
	}
	h.checkFence(t)
	h.checkReigns(t)
}

// A hub that starts anew gives the lease to whom it had it, or after it ended to one of them.
func TestHubRestarts(t *testing.T) {
	t.Parallel()
	cfg := clustertest.Config()
	cfg.StoreDir = t.TempDir()
	hub, h := clustertest.Start(t, cfg), &history{}
	a, b := startRemote(t, hub, "a", h), startRemote(t, hub, "b", h)
	leader := h.writes(t, 0, "")
	downs := []time.Duration{0, ttl / 4, ttl, 2 * ttl}
	if testing.Short() {
		downs = downs[:1]
	}
	for _, down := range downs {
		start := time.Now()
		if err := hub.Stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(down)
		hub = clustertest.Start(t, cfg)
		a.proxy.Target(hub.Addresses().Client)
		b.proxy.Target(hub.Addresses().Client)
		up := time.Now()
		next := h.await(t, "a leader writes", func(e event) bool { return e.What == "wrote" && e.At.After(up) })
		t.Logf("hub away for %v: %s leads in term %d after %s in %d, first write %v after it was back",
			up.Sub(start), next.Who, next.Term, leader.Who, leader.Term, next.At.Sub(up))
		leader = next
	}
	_, _ = a.stop(t), b.stop(t)
	h.checkFence(t)
	h.checkReigns(t)
	for _, e := range h.all() {
		if e.What == "end" && strings.Contains(e.Cause, election.ErrDeposed.Error()) {
			t.Errorf("a hub that restarts deposed: %+v", e)
		}
	}
}
