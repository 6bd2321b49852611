package election_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/election"
)

// What can never go well is an error at once.
func TestFaults(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	nc := hub.Receiver(t)
	endless, kv := open(t, nc, "ENDLESS", 0), lease(t, nc)
	closed := hub.Receiver(t)
	gone := lease(t, closed)
	closed.Close()
	for name, test := range map[string]struct {
		kv   jetstream.KeyValue
		key  string
		cfg  func(*election.Config)
		want string
	}{
		"no id":             {kv, key, func(c *election.Config) { c.ID = "" }, "id: missing"},
		"short ttl":         {kv, key, func(c *election.Config) { c.TTL = time.Millisecond }, "ttl: must be at least 500ms"},
		"no logger":         {kv, key, func(c *election.Config) { c.Logger = nil }, "logger: missing"},
		"another ttl":       {kv, key, func(c *election.Config) { c.TTL = 3 * time.Second }, "bucket ELECTION has a TTL of 2s, not of 3s"},
		"no ttl":            {endless, key, func(*election.Config) {}, "bucket ENDLESS has a TTL of 0s, not of 2s"},
		"wildcard":          {kv, "duty.*", func(*election.Config) {}, `key "duty.*": `},
		"closed connection": {gone, key, func(*election.Config) {}, "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, "a")
			test.cfg(&cfg)
			ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
			defer cancel()
			err := election.Run(ctx, test.kv, test.key, cfg, func(context.Context, uint64) error { return nil })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	for name, test := range map[string]struct {
		kv   jetstream.KeyValue
		key  string
		want string
	}{
		"no ttl":            {endless, key, "bucket ENDLESS has a TTL of 0s"},
		"wildcard":          {kv, ">", `key ">": `},
		"closed connection": {gone, key, "connection closed"},
	} {
		t.Run("observer: "+name, func(t *testing.T) {
			err := election.Observe(t.Context(), test.kv, test.key, func(election.Leader) {})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// A connection that is closed while a candidate waits ends Run; a leader on it is told in time first.
func TestClosedConnection(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	nc := hub.Receiver(t)
	terms, causes := make(chan uint64, 10), make(chan error, 10)
	r := run(t, lease(t, nc), config(t, "a"), untilEnd(terms, causes))
	receive(t, "a leads", terms)
	nc.Close()
	if cause := receive(t, "a ends", causes); cause != election.ErrLost {
		t.Errorf("the cause is %v", cause)
	}
	if err := r.wait(t); err == nil || !strings.Contains(err.Error(), "connection closed") {
		t.Errorf("Run ended with %v", err)
	}
}

// A bucket that is gone is waited for, like a hub. Whoever leads is told first.
func TestBucketGoesAndComes(t *testing.T) {
	t.Parallel()
	hub := clustertest.Start(t, clustertest.Config())
	nc := hub.Receiver(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	terms, causes := make(chan uint64, 10), make(chan error, 10)
	r := run(t, lease(t, nc), config(t, "a"), untilEnd(terms, causes))
	receive(t, "a leads", terms)
	if err := js.DeleteKeyValue(t.Context(), "ELECTION"); err != nil {
		t.Fatal(err)
	}
	t.Logf("the cause is %v", receive(t, "a ends", causes))
	lease(t, nc)
	receive(t, "a leads again", terms)
	if err := r.stop(t); err != nil {
		t.Error(err)
	}
}
