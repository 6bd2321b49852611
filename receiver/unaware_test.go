package receiver_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
)

// TestOwnerUnawares: a take-over lands when its sender has given it up, perhaps as a process before this one, and the coordinator wants another owner. Nobody else may take over
// from a receiver that lives, so this one must find out and release what it does not know that it owns.
func TestOwnerUnawares(t *testing.T) {
	t.Parallel()
	f := newFleet(t, memberTTL, 2, nil)
	short := func(c *receiver.Config) { c.RetryMax = 100 * time.Millisecond }
	a, b := f.add("a", short), f.add("b", short)
	a.start()
	b.start()
	f.balanced(a, b)
	if f.record(0).Owner == b.id {
		a, b = b, a
	}
	web := f.host(0)
	f.ship(web, 1)
	f.floor(1)
	key := wire.RecordKey(1, 0)
	entry, err := f.bucket.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	late, err := json.Marshal(f.record(0).TakeOver(b.id))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.bucket.Update(t.Context(), key, late, entry.Revision()); err != nil {
		t.Fatal(err)
	}
	f.ship(web, 1)
	f.floor(2)
	a.owns(0)
	f.exact()
}
