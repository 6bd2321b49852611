package receiver

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

// A renewal is stored and its answer lost, so that the member does not know the revision when it says that a partition heals. Keepers must know before it goes on.
func TestHealingIsSaidAfterALostRenewal(t *testing.T) {
	js, err := jetstream.New(clustertest.Start(t, clustertest.Config()).Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "members", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	m := newMembership(bucket, time.Minute, Member{ID: "a"})
	if err := m.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Update(t.Context(), "a", m.value(), m.revision); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	if err := m.heals(ctx, 3, true); err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	var said Member
	if err := json.Unmarshal(entry.Value(), &said); err != nil || !slices.Contains(said.Healing, 3) {
		t.Errorf("said without an error, and the hub knows that %v heal, %v", said.Healing, err)
	}
}
