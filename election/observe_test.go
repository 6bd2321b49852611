package election_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/election"
)

// observe follows the leader until the test ends.
func observe(t *testing.T, kv jetstream.KeyValue) <-chan election.Leader {
	t.Helper()
	seen, ended := make(chan election.Leader, 1000), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- election.Observe(ctx, kv, key, func(l election.Leader) { seen <- l }) }()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, "the observer ends", ended); err != nil {
			t.Error(err)
		}
	})
	return seen
}

func wantLeader(t *testing.T, seen <-chan election.Leader, want election.Leader) {
	t.Helper()
	if got := receive(t, "the observer sees something", seen); got != want {
		t.Fatalf("observed %+v, want %+v", got, want)
	}
}

// An observer sees nobody, a leader with its term and once only, its end, the next one, and a lease that ends without a word.
func TestObserve(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	kv, nobody := lease(t, hub.Receiver(t)), election.Leader{}
	p := clustertest.StartProxy(t, hub.Addresses().Client)
	far := lease(t, connect(t, hub, p))
	seen := observe(t, kv)
	wantLeader(t, seen, nobody)

	terms, causes := make(chan uint64, 10), make(chan error, 10)
	a := run(t, kv, config(t, "a"), untilEnd(terms, causes))
	wantLeader(t, seen, election.Leader{ID: "a", Term: receive(t, "a leads", terms)})
	if !testing.Short() {
		time.Sleep(2 * ttl)
	}
	_ = a.stop(t)
	wantLeader(t, seen, nobody)

	run(t, far, config(t, "b"), untilEnd(terms, causes))
	wantLeader(t, seen, election.Leader{ID: "b", Term: receive(t, "b leads", terms)})
	wantLeader(t, observe(t, kv), election.Leader{ID: "b", Term: current(t, kv).Term}) // who comes late sees it, too
	p.Cut()
	wantLeader(t, seen, nobody)
	if l := current(t, kv); l != nobody {
		t.Errorf("current is %+v", l)
	}
}

// What no candidate wrote is nobody.
func TestObserveGarbage(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	kv := lease(t, hub.Receiver(t))
	for _, garbage := range []string{"", "garbage", "{}", `{"id":"x"}`, "null", "[]"} {
		if _, err := kv.Put(t.Context(), key, []byte(garbage)); err != nil {
			t.Fatal(err)
		}
		if l := current(t, kv); l != (election.Leader{}) {
			t.Errorf("%q is read as %+v", garbage, l)
		}
	}
}

func current(t *testing.T, kv jetstream.KeyValue) election.Leader {
	t.Helper()
	l, err := election.Current(t.Context(), kv, key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
