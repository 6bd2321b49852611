package receiver_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/handover"
)

// history watches every record and the wishes from the first to the last write: what must never happen fails the test, whenever it happens.
type history struct {
	t       *testing.T
	mu      sync.Mutex
	records map[string]handover.Record
	moves   map[string][]move // by record: every rise of the floor
	term    uint64
}

// move is one rise of a floor.
type move struct {
	at    time.Time // by the hub's clock
	floor uint64
	epoch uint64
}

func (f *fleet) watchHistory() *history {
	f.t.Helper()
	h := &history{t: f.t, records: map[string]handover.Record{}, moves: map[string][]move{}}
	watch, err := f.bucket.WatchAll(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for entry := range watch.Updates() {
			if entry != nil {
				h.see(entry)
			}
		}
	}()
	f.t.Cleanup(func() {
		_ = watch.Stop()
		select {
		case <-done:
		case <-time.After(clustertest.Patience):
			f.t.Error("the watch of the records does not end")
		}
	})
	return h
}

func (h *history) see(entry jetstream.KeyValueEntry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch key := entry.Key(); {
	case strings.HasPrefix(key, "record."):
		var now handover.Record
		if err := json.Unmarshal(entry.Value(), &now); err != nil {
			h.t.Errorf("%s: %v", key, err)
			return
		}
		before := h.records[key]
		if fault := illegal(before, now); fault != "" {
			h.t.Errorf("%s: %s: %+v after %+v", key, fault, now, before)
		}
		if now.Floor > before.Floor {
			h.moves[key] = append(h.moves[key], move{entry.Created(), now.Floor, now.Epoch})
		}
		h.records[key] = now
	case strings.HasPrefix(key, "wishes."):
		var now receiver.Wishes
		if err := json.Unmarshal(entry.Value(), &now); err != nil {
			h.t.Errorf("%s: %v", key, err)
			return
		}
		if now.Term < h.term {
			h.t.Errorf("%s: term %d after %d", key, now.Term, h.term)
		}
		h.term = now.Term
	}
}

// illegal says why one record must not come after the other, perhaps with others in between that the watch has not seen.
func illegal(before, now handover.Record) string {
	last := len(now.Epochs) - 1
	switch {
	case now.Floor < before.Floor:
		return "the floor goes back"
	case now.Epoch < before.Epoch:
		return "the epoch goes back"
	case now.Epoch == before.Epoch && now.Owner != before.Owner:
		return "two owners of one epoch"
	case len(now.Epochs) < len(before.Epochs) || !slices.Equal(now.Epochs[:len(before.Epochs)], before.Epochs):
		return "the history was changed"
	case last < 0 || now.Epochs[last].Epoch != now.Epoch || now.Epochs[last].Owner != now.Owner:
		return "the history does not end with the owner"
	}
	for i := len(before.Epochs); i <= last; i++ {
		if e := now.Epochs[i]; e.Start < before.Floor || e.Start > now.Floor || i > 0 && e.Start < now.Epochs[i-1].Start {
			return "an epoch begins where the floor was not"
		}
	}
	return ""
}

// longestPause is the longest time between two rises of a partition's floor since a moment, while something was shipped all the time.
func (h *history) longestPause(partition string, since time.Time) (longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	moves := h.moves[partition]
	for i := 1; i < len(moves); i++ {
		if moves[i].at.After(since) {
			longest = max(longest, moves[i].at.Sub(moves[i-1].at))
		}
	}
	return longest
}
