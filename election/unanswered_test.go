package election_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/election"
)

// A renewal that was stored and never answered is recognized by what the key holds. The leader goes on, in the same term.
func TestUnansweredRenewals(t *testing.T) {
	var n int
	odd := func(string) (time.Duration, time.Duration) {
		if n++; n > 10 && n%4 == 0 {
			return 0, -1
		}
		return 0, 0
	}
	bubble(t, odd, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		time.Sleep(10 * time.Minute)
		hub.mu.Lock()
		defer hub.mu.Unlock()
		if n < 1000 || len(b)+len(ended) != 0 {
			t.Errorf("after %d requests: a ended %d times, b won %d times", n, len(ended), len(b))
		}
	})
}

// A candidate that has seen one win of its come and go, unanswered, leads by the term of the next.
func TestTermOfAnUnansweredWin(t *testing.T) {
	var creates, updates int
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub(2 * time.Second)
		l := func(op string) (time.Duration, time.Duration) {
			switch op {
			case "create":
				if creates++; creates == 1 || updates == 1 && hub.current().op == jetstream.KeyValueDelete {
					return 0, -1
				}
			case "update":
				if updates++; updates == 1 { // recognized, and not renewed: someone else leads meanwhile
					hub.put(nil, []byte("another"), jetstream.KeyValuePut, 1)
					hub.put(nil, nil, jetstream.KeyValueDelete, 2)
					return -1, -1
				}
			}
			return 0, 0
		}
		ctx, cancel := context.WithCancel(t.Context())
		a, done := make(chan uint64, 1), make(chan error, 1)
		go func() {
			done <- election.Run(ctx, &fakeKV{hub: hub, link: l}, key, quiet("a"), reigning("a", a, make(chan reign, 1)))
		}()
		if term := receive(t, "a leads", a); term != 4 {
			t.Errorf("leads by term %d, the win was revision 4", term)
		}
		cancel()
		if err := receive(t, "a ends", done); err != nil {
			t.Error(err)
		}
	})
}

// A hub of several nodes refuses a deletion while a renewal before it is still under way, and the key is what it was: it is tried again, or the successor waits for the TTL.
func TestRefusedResignation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		a, done := make(chan uint64, 1), make(chan error, 1)
		go func() {
			done <- election.Run(ctx, &fakeKV{hub: hub, link: direct}, key, quiet("a"), reigning("a", a, make(chan reign, 1)))
		}()
		receive(t, "a leads", a)
		hub.mu.Lock()
		hub.refusals = 4
		hub.mu.Unlock()
		cancel()
		if err := receive(t, "a ends", done); err != nil {
			t.Error(err)
		}
		if hub.last == nil || hub.last.op != jetstream.KeyValueDelete {
			t.Errorf("the key holds %+v, want a mark of its deletion", hub.last)
		}
	})
}

// A win that was never answered is a win once that shows, by the revision that won. If ctx ends meanwhile, the lease is given back.
func TestUnansweredWin(t *testing.T) {
	var n int
	lossy := func(string) (time.Duration, time.Duration) {
		if n++; n >= 3 && n <= 5 { // 1 and 2 ask for the TTL, then the watch is opened and the key made, in any order
			return 0, -1
		}
		return 0, 0
	}
	bubble(t, lossy, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		if first != 1 || len(b) != 0 {
			t.Errorf("won by term %d", first)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		hub, unanswered := newFakeHub(2*time.Second), 0
		l := func(string) (time.Duration, time.Duration) {
			if unanswered++; unanswered == 3 || unanswered == 4 {
				return 0, -1
			}
			return 0, 0
		}
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		defer cancel()
		a := make(chan uint64, 1)
		if err := election.Run(ctx, &fakeKV{hub: hub, link: l}, key, quiet("a"), reigning("a", a, make(chan reign, 1))); err != nil || len(a) != 0 {
			t.Errorf("Run ended with %v, won %d times", err, len(a))
		}
		if hub.last == nil || hub.last.value != nil {
			t.Errorf("the key holds %+v, want a mark of its deletion", hub.last)
		}
	})
}
