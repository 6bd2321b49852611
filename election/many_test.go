package election_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/election"
)

// crowd runs n candidates that write to one fence.
func crowd(t *testing.T, hub *clustertest.Hub, n int) (*history, map[string]*runner) {
	t.Helper()
	h, runners := &history{}, map[string]*runner{}
	for i := range n {
		nc, who := hub.Receiver(t), fmt.Sprint("candidate", i)
		runners[who] = run(t, lease(t, nc), config(t, who), duty(who, resource(t, nc), h.tell))
	}
	return h, runners
}

// Of many candidates one leads, for as long as it likes. When it resigns, another does at once.
func TestOneLeaderOfMany(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	h, runners := crowd(t, hub, 10)
	leader := h.writes(t, 0, "")
	if !testing.Short() {
		time.Sleep(ttl + ttl/2) // longer than a lease that is not renewed
	}
	if began := slices.DeleteFunc(h.all(), func(e event) bool { return e.What != "begin" }); len(began) != 1 {
		t.Errorf("%d reigns, want 1: %v", len(began), began)
	}
	slow := 0
	for range 5 {
		start := time.Now()
		if err := runners[leader.Who].stop(t); err != nil {
			t.Errorf("%s ended with %v", leader.Who, err)
		}
		next := h.await(t, "the next leads", func(e event) bool { return e.What == "begin" && e.Term > leader.Term })
		t.Logf("%s took over from %s within %v", next.Who, leader.Who, next.At.Sub(start))
		if took := next.At.Sub(start); took > time.Second {
			slow++
		}
		leader = h.writes(t, leader.Term, "")
	}
	if slow > 2 { // a busy machine may be slow at times; the TTL is always
		t.Errorf("%d of 5 took longer than a second", slow)
	}
	for _, r := range runners {
		_ = r.stop(t)
	}
	h.checkFence(t)
	h.checkReigns(t)
}

// Whatever is done to the key by force, the fence sees one leader after another, and there is one in the end.
func TestForce(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	kv := lease(t, hub.Receiver(t))
	h, runners := crowd(t, hub, 10)
	leader := h.writes(t, 0, "")
	forces := []struct {
		name string
		do   func() error
	}{
		{"deleted", func() error { return kv.Delete(t.Context(), key) }},
		{"purged", func() error { return kv.Purge(t.Context(), key) }},
		{"overwritten", func() error { _, err := kv.Put(t.Context(), key, []byte("garbage")); return err }},
	}
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for n := range rounds * len(forces) {
		force, start := forces[n%len(forces)], time.Now()
		if err := force.do(); err != nil {
			t.Fatal(err)
		}
		end := h.await(t, "the leader ends", func(e event) bool { return e.What == "end" && e.Term == leader.Term })
		if !strings.HasPrefix(end.Cause, election.ErrDeposed.Error()) {
			t.Errorf("%s: the cause is %q", force.name, end.Cause)
		}
		next := h.writes(t, leader.Term, "")
		t.Logf("%s: the leader ended after %v, the next wrote after %v", force.name, end.At.Sub(start), next.At.Sub(start))
		leader = next
	}
	for _, r := range runners {
		_ = r.stop(t)
	}
	h.checkFence(t)
}

// Terms grow whichever way the key went, even when the bucket is empty and the hub starts anew.
func TestTermsGrow(t *testing.T) {
	t.Parallel()
	cfg := clustertest.Config()
	cfg.StoreDir = t.TempDir()
	hub := clustertest.Start(t, cfg)
	short := 500 * time.Millisecond
	kv := open(t, hub.Receiver(t), "SHORT", short)
	var last uint64
	win := func(how string) {
		t.Helper()
		terms, causes := make(chan uint64, 10), make(chan error, 10)
		cfg := config(t, "a")
		cfg.TTL = short
		r := run(t, kv, cfg, untilEnd(terms, causes))
		term := receive(t, "a leads", terms)
		if term <= last {
			t.Errorf("term %d after %d: %s", term, last, how)
		}
		last = term
		if err := r.stop(t); err != nil {
			t.Error(err)
		}
	}
	win("first")
	win("deleted")
	if err := kv.Purge(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	win("purged")
	if err := kv.PurgeDeletes(t.Context()); err != nil {
		t.Fatal(err)
	}
	win("marks purged")
	if _, err := kv.Create(t.Context(), "other", nil); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the bucket is empty", func() bool {
		status, err := kv.Status(t.Context())
		return err == nil && status.Values() == 0
	})
	win("ended")
	clustertest.Until(t, "the bucket is empty", func() bool {
		status, err := kv.Status(t.Context())
		return err == nil && status.Values() == 0
	})
	if err := hub.Stop(); err != nil {
		t.Fatal(err)
	}
	kv = open(t, clustertest.Start(t, cfg).Receiver(t), "SHORT", short)
	win("hub restarted, bucket empty")
}
