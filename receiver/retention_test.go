package receiver_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
)

// block is what the tests of retention ship at once, in bytes; a stream holds fewer than ten of them.
const block = 120 << 10

// TestRetentionWithoutAnOwner: a partition that nobody archives now, while its stream fills up. What was archived before goes, nothing else does, and the agents of
// other partitions notice nothing.
func TestRetentionWithoutAnOwner(t *testing.T) {
	t.Parallel()
	for name, stall := range map[string]func(f *fleet) (mend func()){
		"the wished owner is stuck before it takes over": func(f *fleet) func() {
			slow := f.add("slow", nil)
			trap := slow.trap(0, "take over")
			f.nodes[0].stop()
			slow.start()
			trap.wait(f.t)
			return trap.free
		},
		"the owner cannot write": func(f *fleet) func() {
			n, victim := f.nodes[0], f.host(0)
			blocked := filepath.Join(n.dir, "hosts", victim.host)
			if err := os.WriteFile(blocked, nil, 0o600); err != nil {
				f.t.Fatal(err)
			}
			f.ship(victim, 1)
			return func() {
				if err := os.Remove(blocked); err != nil {
					f.t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("fills streams")
			}
			f := newFleet(t, steady, 2, func(c *cluster.HubConfig) { c.StreamBytes = 1 << 20 })
			full, quiet, other := f.host(0), f.host(0), f.host(1)
			n := f.add("first", func(c *receiver.Config) { c.RetryMax = 100 * time.Millisecond })
			n.start()
			f.ship(quiet, 1)
			f.shipBlocks(full, 5)
			f.floor(6)
			f.exact()
			mend := stall(f)
			floor := f.record(0).Floor
			shipped := f.fill(full)
			if shipped < 4 {
				t.Errorf("only %d blocks found room: what was archived before was not purged", shipped)
			}
			for range 3 {
				f.shipBlocks(other, 8)
				f.until(func() bool { return f.record(1).Floor >= other.head }, "the other partition goes on")
			}
			if now := f.record(0).Floor; now > floor+1 {
				t.Fatalf("the floor has gone from %d to %d without an owner", floor, now)
			}
			f.keeps(0)
			mend()
			f.shipBlocks(full, 2)
			f.ship(quiet, 1)
			f.exact()
			f.keeps(0)
			f.keeps(1)
		})
	}
}

// A backlog drains through a small stream as fast as it is archived, not by one stream's size from one look of the keeper to the next.
func TestSmallStreamDrainsABacklog(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a look of the keeper")
	}
	const every, blocks, fit = 5 * time.Second, 120, 8
	f := newFleet(t, steady, 1, func(c *cluster.HubConfig) { c.StreamBytes = 1 << 20 })
	a := f.host(0)
	f.add("first", func(c *receiver.Config) { c.KeepEvery = every }).start()
	start := time.Now()
	f.shipBlocks(a, blocks)
	if took := time.Since(start); took > blocks/fit/2*every {
		t.Errorf("%d blocks took %v, %d of them fit into the stream, which was looked at every %v", blocks, took, fit, every)
	}
	f.exact()
	f.keeps(0)
}

func (f *fleet) shipBlocks(a *agent, n int) {
	f.t.Helper()
	for range n {
		raw := f.block(a)
		a.ship(raw)
		f.truth[a.host] = append(f.truth[a.host], raw...)
	}
}

func (f *fleet) block(a *agent) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s writes block %d\n", a.host, a.number), block/16)[:block]
}

// fill ships blocks until none has found room for a while, and says how many did.
func (f *fleet) fill(a *agent) (shipped int) {
	f.t.Helper()
	for refused := time.Now(); time.Since(refused) < 2*time.Second; time.Sleep(20 * time.Millisecond) {
		raw := f.block(a)
		sequence, err := clustertest.Publish(a.nc, clustertest.Batch(a.host, "w-"+a.host, a.number+1, "/var/log/app.log", a.offset, raw), a.stream, a.head)
		if err != nil {
			continue
		}
		a.head, a.offset, a.number = sequence, a.offset+int64(len(raw)), a.number+1
		f.truth[a.host] = append(f.truth[a.host], raw...)
		shipped, refused = shipped+1, time.Now()
	}
	return shipped
}

// keeps asserts H1 and H2 of a partition from what its stream holds: nothing above the floor is gone; each host has its head, and a table at or below the floor that
// covers what is gone of it.
func (f *fleet) keeps(partition int) {
	f.t.Helper()
	ctx := f.t.Context()
	for _, a := range f.agents {
		if a.partition() != partition {
			continue
		}
		stream, err := f.js.Stream(ctx, a.stream)
		if err != nil {
			f.t.Fatal(err)
		}
		head, err := stream.GetLastMsgForSubject(ctx, wire.PartSubject(1, partition, a.host))
		if err != nil {
			f.t.Errorf("head of %s: %v", a.host, err)
			continue
		}
		if head.Sequence < a.head {
			f.t.Errorf("head of %s is %d, %d was acknowledged", a.host, head.Sequence, a.head)
		}
		first, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(wire.PartSubject(1, partition, a.host)))
		if err != nil {
			f.t.Fatal(err)
		}
		before, _ := wire.Expectation(first.Header)
		if before == 0 {
			continue
		}
		entry, err := f.bucket.Get(ctx, wire.TableKey(a.stream, a.host))
		if err != nil {
			f.t.Errorf("table of %s, whose messages up to %d are gone: %v", a.host, before, err)
			continue
		}
		table, err := wire.DecodeTable(entry.Value())
		if err != nil {
			f.t.Fatal(err)
		}
		if table.Sequence < before || table.Sequence > f.record(partition).Floor {
			f.t.Errorf("table of %s is as of %d; the messages up to %d are gone, and the floor is %d", a.host, table.Sequence, before, f.record(partition).Floor)
		}
	}
	f.unpurged(partition)
}

func (f *fleet) unpurged(partition int) {
	f.t.Helper()
	r := f.record(partition)
	stream, err := f.js.Stream(f.t.Context(), r.Stream)
	if err != nil {
		f.t.Fatal(err)
	}
	for s := r.Floor + 1; s <= stream.CachedInfo().State.LastSeq; s++ {
		if _, err := stream.GetMsg(f.t.Context(), s); err != nil {
			f.t.Errorf("message %d of partition %d, whose floor was %d: %v", s, partition, r.Floor, err)
		}
	}
}
