package election_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/election"
)

// ttl is the default: what is measured is what users get.
const ttl = 2 * time.Second

const key = "duty"

// open makes a bucket, or finds it.
func open(t testing.TB, nc *nats.Conn, bucket string, ttl time.Duration) jetstream.KeyValue {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket, TTL: ttl, History: 1, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// lease is the bucket that is competed in.
func lease(t testing.TB, nc *nats.Conn) jetstream.KeyValue {
	t.Helper()
	return open(t, nc, "ELECTION", ttl)
}

// resource is what leaders write to.
func resource(t testing.TB, nc *nats.Conn) fence {
	t.Helper()
	return fence{open(t, nc, "RESOURCE", 0)}
}

// runner is a candidate whose Run was called.
type runner struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of Run; read after ended is closed
}

func config(t testing.TB, id string) election.Config {
	cfg := election.DefaultConfig()
	cfg.ID, cfg.TTL, cfg.Logger = id, ttl, clustertest.Logger(t).With("who", id)
	return cfg
}

// run starts a candidate that ends with the test at the latest.
func run(t testing.TB, kv jetstream.KeyValue, cfg election.Config, lead func(context.Context, uint64) error) *runner {
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = election.Run(ctx, kv, key, cfg, lead)
	}()
	t.Cleanup(func() { _ = r.stop(t) })
	return r
}

func (r *runner) stop(t testing.TB) error {
	t.Helper()
	r.cancel()
	return r.wait(t)
}

func (r *runner) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(clustertest.Patience):
		t.Fatal("Run has not ended")
	}
	return r.err
}

// receive waits for what a channel brings.
func receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(clustertest.Patience):
		t.Fatalf("not within %v: %s", clustertest.Patience, what)
		panic("unreachable")
	}
}

// untilEnd leads until told to stop, and tells terms and causes.
func untilEnd(terms chan<- uint64, causes chan<- error) func(context.Context, uint64) error {
	return func(ctx context.Context, term uint64) error {
		terms <- term
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}
}

// What lead returns ends Run or not, and the lease is given back in any case.
func TestEndOfLeading(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	kv := lease(t, hub.Receiver(t))
	broken := errors.New("broken")
	for name, test := range map[string]struct{ returned, want error }{
		"the duty is done":   {nil, nil},
		"the duty is broken": {broken, broken},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, kv, config(t, "a"), func(context.Context, uint64) error { return test.returned })
			if err := r.wait(t); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if leader, err := election.Current(t.Context(), kv, key); err != nil || leader != (election.Leader{}) {
				t.Errorf("leader is %v, %v, want none", leader, err)
			}
		})
	}
}

// An end of ctx is a clean end: nil, with the lease given back.
func TestEndOfContext(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	kv := lease(t, hub.Receiver(t))
	terms, causes := make(chan uint64, 10), make(chan error, 10)
	r := run(t, kv, config(t, "a"), untilEnd(terms, causes))
	term := receive(t, "a leads", terms)
	if leader, err := election.Current(t.Context(), kv, key); err != nil || leader != (election.Leader{ID: "a", Term: term}) {
		t.Errorf("leader is %v, %v", leader, err)
	}
	if err := r.stop(t); err != nil {
		t.Errorf("Run ended with %v", err)
	}
	if cause := receive(t, "the cause", causes); !errors.Is(cause, context.Canceled) {
		t.Errorf("the cause is %v", cause)
	}
	if leader, err := election.Current(t.Context(), kv, key); err != nil || leader != (election.Leader{}) {
		t.Errorf("leader is %v, %v, want none", leader, err)
	}
}
