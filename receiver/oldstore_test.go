package receiver_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

func recordOf(t *testing.T, hub *clustertest.Hub) (r handover.Record) {
	t.Helper()
	entry, err := bucketOf(t, hub).Get(t.Context(), wire.RecordKey(1, 0))
	if err == nil {
		err = json.Unmarshal(entry.Value(), &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// H3: the hub's whole store is an old copy, record and streams alike. Its sequences are used again, for other batches: the archive must not take them for those it has.
func TestHubFromAnOldStoreIsNotArchivedFromTheNewPosition(t *testing.T) {
	for name, late := range map[string]bool{"the receiver is there first": false, "the agents are there first": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := clustertest.Config()
			cfg.Partitions = 1
			hub := clustertest.Start(t, cfg)
			a := join(t, hub, "web1")
			r := start(t, hub, dir, nil)
			for _, line := range []string{"one\n", "two\n", "three\n"} {
				a.ship([]byte(line))
			}
			archived(t, dir, "web1", []byte("one\ntwo\nthree\n"))
			r.stop(t)
			if err := hub.Stop(); err != nil {
				t.Fatal(err)
			}
			backup := copyOf(t, hub.Dir)
			cfg.StoreDir = hub.Dir
			hub = clustertest.Start(t, cfg)
			a2 := join(t, hub, "web1")
			a2.offset, a2.number = a.offset, a.number
			r = start(t, hub, dir, nil)
			truth := "one\ntwo\nthree\n"
			for _, line := range []string{"four\n", "five\n", "six\n"} {
				a2.ship([]byte(line))
				truth += line
				archived(t, dir, "web1", []byte(truth))
			}
			r.stop(t)
			if err := hub.Stop(); err != nil {
				t.Fatal(err)
			}

			cfg.StoreDir = backup
			hub = clustertest.Start(t, cfg)
			a3 := join(t, hub, "web1")
			a3.offset, a3.number = a.offset, a.number // it ships again what the chain has lost, in other batches
			if !late {
				start(t, hub, dir, nil)
			}
			for _, lines := range []string{"four\nfive\nsix\nseven\n", "eight\n", "nine\n", "ten\n"} {
				a3.ship([]byte(lines))
			}
			if late {
				start(t, hub, dir, nil)
			}
			for range 40 {
				time.Sleep(50 * time.Millisecond)
				got := segments(filepath.Join(dir, "hosts/web1/var/log/app.log"))
				if floor := recordOf(t, hub).Floor; floor >= 7 && !bytes.Contains(got, []byte("seven\neight\n")) {
					t.Fatalf("the floor is at %d, the archive holds %q", floor, got)
				}
			}
		})
	}
}
