package cluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

func TestLeafFindsTheHubAgainAfterACut(t *testing.T) {
	s := newStand(t)
	proxy := clustertest.StartProxy(t, s.hub.Addresses().Leaf)
	leaf := clustertest.StartLeaf(t, s.hub, "web2", "b", proxy.Leaf())
	nc := leaf.Client(t)
	clustertest.Hello(t, nc, "web2", hello("b", 0))
	proxy.Cut()
	clustertest.Until(t, "the leaf knows that it is cut off", func() bool { return !leaf.Linked() })
	clustertest.Until(t, "it says why", func() bool { return leaf.Link().Fault != "" })
	proxy.Heal()
	clustertest.Until(t, "the leaf is linked again", leaf.Linked)
	if w := clustertest.Hello(t, nc, "web2", hello("b", 0)); w.Refusal != "" {
		t.Errorf("refused after the cut: %s", w.Refusal)
	}
}

// C1: a batch that was under way when its sender died may land much later: once, where it was expected, or nowhere.
func TestHeldBatchLandsOnceAfterItsSenderDied(t *testing.T) {
	s := newStand(t)
	proxy := clustertest.StartProxy(t, s.hub.Addresses().Leaf)
	leaf := clustertest.StartLeaf(t, s.hub, "web2", "b", proxy.Leaf())
	nc := leaf.Client(t)
	w := clustertest.Hello(t, nc, "web2", hello("b", 0))
	proxy.Blackhole()
	msg := clustertest.Batch("web2", "w-b", 1, "/x", 0, []byte("late\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	msg.Header.Set("Nats-Expected-Stream", w.Stream)
	msg.Header.Set("Nats-Expected-Last-Subject-Sequence", "0")
	if _, err := nc.RequestMsgWithContext(ctx, msg); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
		t.Fatalf("the black hole answered: %v", err)
	}
	nc.Close()
	if err := leaf.Stop(); err != nil {
		t.Fatal(err)
	}
	proxy.Heal()
	before := s.state(t).LastSeq
	proxy.Release()
	clustertest.Until(t, "the held batch lands", func() bool { return s.state(t).LastSeq == before+1 })
	next := clustertest.StartLeaf(t, s.hub, "web2", "c", proxy.Leaf()).Client(t)
	if _, err := clustertest.Publish(next, clustertest.Batch("web2", "w-c", 1, "/x", 0, []byte("other border\n")), w.Stream, 0); codeOf(err) != 10071 {
		t.Errorf("the next incarnation's batch: %v, want 10071", err)
	}
}

// A link that is gone without a word is noticed, so that the next agent of the host is let in. It takes 15 s, hence not in -short.
func TestSilentLinkIsForgotten(t *testing.T) {
	slow(t)
	s := newStand(t)
	proxy := clustertest.StartProxy(t, s.hub.Addresses().Leaf)
	leaf := clustertest.StartLeaf(t, s.hub, "web2", "b", proxy.Leaf())
	clustertest.Hello(t, leaf.Client(t), "web2", hello("b", 0))
	proxy.Blackhole()
	start := time.Now()
	next := clustertest.StartLeaf(t, s.hub, "web2", "c", s.hub.Addresses().Leaf).Client(t)
	if w := clustertest.Hello(t, next, "web2", hello("c", 0)); !w.Conflict {
		t.Errorf("let in at once: %+v", w)
	}
	clustertest.Until(t, "the hub has forgotten the silent link", func() bool {
		return clustertest.Hello(t, next, "web2", hello("c", 0)).Refusal == ""
	})
	clustertest.Until(t, "the leaf knows, too", func() bool { return !leaf.Linked() })
	t.Logf("noticed by both within %v", time.Since(start))
}
