package receiver_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/receiver"
)

// memberTTL is long enough for a slow machine to renew in time.
const memberTTL = 2 * time.Second

// memberKey runs a receiver once, so that its bucket exists, and gives that and the archive's key in it.
func memberKey(t *testing.T, hub *clustertest.Hub, dir string) (jetstream.KeyValue, string) {
	t.Helper()
	r := start(t, hub, dir, func(c *receiver.Config) { c.Lease = memberTTL })
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	var bucket jetstream.KeyValue
	var keys []string
	clustertest.Until(t, "the receiver is a member", func() bool {
		if bucket, err = js.KeyValue(context.Background(), "LOGDRIVE_LEASES"); err != nil {
			return false
		}
		keys, err = bucket.Keys(context.Background())
		keys = slices.DeleteFunc(keys, func(key string) bool { return key == "coordinator" })
		return err == nil && len(keys) == 1
	})
	r.stop(t)
	return bucket, keys[0]
}

// A receiver that was killed leaves a key that may end while the next one looks whether a copy of the archive renews it.
func TestKeyOfAKilledReceiverIsNoTwin(t *testing.T) {
	hub, dir := clustertest.Start(t, clustertest.Config()), t.TempDir()
	bucket, key := memberKey(t, hub, dir)
	if _, err := bucket.Create(context.Background(), key, []byte("the process before")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(memberTTL * 7 / 10) // not half of the TTL is left
	r := start(t, hub, dir, func(c *receiver.Config) { c.Lease = memberTTL })
	clustertest.Until(t, "the receiver is ready", func() bool { return r.Ready() == nil })
}

// A copy of an archive renews its key: the second receiver must not run.
func TestTwin(t *testing.T) {
	hub, dir := clustertest.Start(t, clustertest.Config()), t.TempDir()
	bucket, key := memberKey(t, hub, dir)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, _ = bucket.Put(context.Background(), key, []byte("the twin"))
			select {
			case <-end:
				return
			case <-time.After(memberTTL / 10):
			}
		}
	}()
	defer func() { close(end); <-ended }()
	clustertest.Until(t, "the twin is a member", func() bool {
		_, err := bucket.Get(context.Background(), key)
		return err == nil
	})
	r := start(t, hub, dir, func(c *receiver.Config) { c.Lease = memberTTL })
	select {
	case err := <-r.done:
		r.done <- nil
		if !errors.Is(err, receiver.ErrTwin) {
			t.Errorf("got %v, want ErrTwin", err)
		}
	case <-time.After(clustertest.Patience):
		t.Fatal("the second receiver runs on")
	}
}
