package receiver

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

// R8: a coordinator that has not heard yet who lives does not know which partition is read again, and purges nothing.
func TestNothingIsPurgedBeforeTheMembersAreKnown(t *testing.T) {
	stream, js := chainOf(t, wire.PartSubject(1, 0, "web1"), 3)
	bucket, err := js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	hub, _, _, err := wire.ParseStream(info.Config.Name)
	if err != nil {
		t.Fatal(err)
	}
	record, _ := json.Marshal(handover.Record{Stream: info.Config.Name, Created: info.Created, Epoch: 1, Owner: "x", Floor: 3, Epochs: []handover.Epoch{{Epoch: 1, Owner: "x"}}})
	if _, err := bucket.Put(t.Context(), wire.RecordKey(1, 0), record); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.KeepEvery, cfg.HighWater = 20*time.Millisecond, 1e-9
	m, _ := newMetrics(nil, nil)
	s := &session{
		Receiver: &Receiver{js: js, cfg: cfg, metrics: m}, bucket: bucket,
		layout: wire.Layout{Hub: hub, Number: 1, Partitions: 1, StreamBytes: info.Config.MaxBytes},
		roster: newRoster(nil, "self", time.Second, cfg.Logger), // its watch has brought nothing yet
	}
	c := &coordinator{session: s, keepers: []*keeper{newKeeper(s, 0)}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.keepAll(ctx) }()
	time.Sleep(500 * time.Millisecond)
	cancel()
	<-done
	if now, err := stream.Info(t.Context()); err != nil || now.State.Msgs != 3 {
		t.Errorf("%d of 3 messages are left, %v", now.State.Msgs, err)
	}
}
