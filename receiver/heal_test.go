package receiver_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/archive"
)

// oneStream founds a hub with one partition.
func oneStream(t *testing.T) *clustertest.Hub {
	cfg := clustertest.Config()
	cfg.Partitions = 1
	return clustertest.Start(t, cfg)
}

// copyOf is a backup of an archive that nobody runs on.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "archive")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// formerOwner archives "one" to "three" in an epoch that is over, then "four" elsewhere, and gives a copy of the first archive as it was after "one".
func formerOwner(t *testing.T, hub *clustertest.Hub, change func(*receiver.Config)) (*agent, string) {
	t.Helper()
	first, second := t.TempDir(), t.TempDir()
	a := join(t, hub, "web1")
	r := start(t, hub, first, change)
	a.ship([]byte("one\n"))
	archived(t, first, "web1", []byte("one\n"))
	r.stop(t)
	backup := copyOf(t, first)
	r = start(t, hub, first, change)
	a.ship([]byte("two\n"))
	a.ship([]byte("three\n"))
	archived(t, first, "web1", []byte("one\ntwo\nthree\n"))
	r.stop(t)
	start(t, hub, second, change)
	a.ship([]byte("four\n"))
	archived(t, second, "web1", []byte("four\n"))
	return a, backup
}

// R8: an archive that is restored from an old copy brings itself up to date where it was the owner once, though another is the owner now.
func TestFormerOwnerReadsAgainWhatItLacks(t *testing.T) {
	hub := oneStream(t)
	_, backup := formerOwner(t, hub, nil)
	heals(t, hub, backup)
	if entries := ledger(t, backup); len(entries) != 0 {
		t.Fatalf("ledger is %+v, want none", entries)
	}
	if got := segments(filepath.Join(backup, "hosts/web1/var/log/app.log")); string(got) != "one\ntwo\nthree\n" {
		t.Fatalf("the archive holds %q", got)
	}
}

// heals runs a receiver until the archive holds epoch 1 up to message 3.
func heals(t *testing.T, hub *clustertest.Hub, dir string) {
	t.Helper()
	words := &words{}
	r := start(t, hub, dir, func(c *receiver.Config) { c.Logger = slog.New(slog.NewTextHandler(words, nil)) })
	clustertest.Until(t, "the archive is healed", func() bool { return words.say("healed as far as the hub can") })
	clustertest.Until(t, "it says so", func() bool {
		members, err := receiver.Members(t.Context(), r.js)
		return err == nil && !slices.ContainsFunc(members, func(m receiver.Member) bool { return len(m.Healing) > 0 })
	})
	r.stop(t)
	reader, err := archive.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	streams, err := reader.Streams()
	if err != nil || len(streams) != 1 || len(streams[0].Held) != 1 || streams[0].Held[0].To != 3 {
		t.Fatalf("the archive holds %+v, %v: want epoch 1 up to 3", streams, err)
	}
}

// words is a log that can be searched while it is written.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) say(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Contains(w.text.Bytes(), []byte(text))
}

// What is purged by then cannot be read again: the ledger says so.
func TestFormerOwnerNamesWhatIsGone(t *testing.T) {
	hub := oneStream(t)
	a, backup := formerOwner(t, hub, func(c *receiver.Config) { c.Lookback, c.TableEvery = time.Millisecond, 10*time.Millisecond })
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "what was archived is purged", func() bool {
		a.ship([]byte("five\n"))
		s, err := js.Stream(t.Context(), a.stream)
		return err == nil && s.CachedInfo().State.FirstSeq > 3
	})
	heals(t, hub, backup)
	entries := ledger(t, backup)
	if len(entries) != 1 || entries[0].Reason != archive.ReasonRestored || entries[0].To != -1 || entries[0].Epoch != 1 || entries[0].Sequence != 3 {
		t.Fatalf("ledger is %+v, want that messages up to 3 of epoch 1 are gone", entries)
	}
}

// R7: a restored archive does not know where a host stood when its epoch began. What other archives hold is not missing here, and the table of the host, which
// is complete, is not replaced by one that is not.
func TestHealsAHostWhosePositionsAreUnknown(t *testing.T) {
	hub, first, second := oneStream(t), t.TempDir(), t.TempDir()
	eager := func(c *receiver.Config) { c.TableEvery = 10 * time.Millisecond }
	a, other := join(t, hub, "web1"), join(t, hub, "other")
	r := start(t, hub, first, eager)
	elsewhere := clustertest.Batch("web1", "w-web1", 1, "/var/log/elsewhere.log", 0, []byte("elsewhere\n"))
	seq, err := clustertest.Publish(a.nc, elsewhere, a.stream, a.head)
	if err != nil {
		t.Fatal(err)
	}
	a.head = seq
	a.ship([]byte("one\n"))
	archived(t, first, "web1", []byte("one\n"))
	r.stop(t)
	r = start(t, hub, second, eager)
	other.ship([]byte("line\n"))
	archived(t, second, "other", []byte("line\n"))
	r.stop(t)
	backup := copyOf(t, second)
	r = start(t, hub, second, eager)
	a.ship([]byte("two\n"))
	a.ship([]byte("three\n"))
	archived(t, second, "web1", []byte("two\nthree\n"))
	tableHolds := func() bool {
		w := clustertest.Hello(t, a.nc, "web1", wire.Hello{Version: wire.Version, Writer: "w-web1", Session: "s-web1"})
		return w.Archived == a.head && w.Table.Find("/var/log/app.log", 1).Offset == a.offset && w.Table.Find("/var/log/elsewhere.log", 1) != nil
	}
	clustertest.Until(t, "the table is at the head", tableHolds)
	r.stop(t)
	r = start(t, hub, backup, eager)
	archived(t, backup, "web1", []byte("two\nthree\n"))
	a.ship([]byte("four\n"))
	archived(t, backup, "web1", []byte("two\nthree\nfour\n"))
	clustertest.Until(t, "the table is at the head", tableHolds)
	r.stop(t)
	if entries := ledger(t, backup); len(entries) != 0 {
		t.Fatalf("ledger is %+v, want none", entries)
	}
}

// What the hub has sent while an archive is healed, and a broken connection has swallowed, is read again: it is not taken for what was purged.
func TestHealingReadsAgainWhatAConnectionSwallowed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, flickering, 1, nil)
	a := f.add("a", func(c *receiver.Config) { c.PullBytes, c.MaxUncommited, c.CommitBytes = 4<<10, 1<<20, 1<<10 })
	web := f.host(0)
	a.start()
	f.ship(web, 1)
	f.floor(1)
	a.stop()
	backup := copyOf(t, a.dir)
	a.start()
	f.ship(web, 200)
	f.floor(201)
	a.stop()
	a.dir = backup
	a.proxy.Delay(30 * time.Millisecond)
	a.start()
	delivered := func() uint64 {
		c, err := f.js.Consumer(t.Context(), web.stream, "heal-1")
		if err != nil {
			return 0
		}
		return c.CachedInfo().Delivered.Stream
	}
	f.until(func() bool { return delivered() > 20 }, "the archive is being healed")
	a.proxy.Blackhole()
	f.until(func() bool { return a.proxy.Held() > 1<<10 }, "batches are on their way")
	if at := delivered(); at > 190 {
		t.Fatalf("the hub has sent %d batches of 201 already", at)
	}
	a.proxy.Cut()
	a.proxy.Heal()
	a.proxy.Delay(0)
	f.ship(web, 1)
	f.floor(202)
	f.exact()
}

// That something is gone for good is not forgotten when the process ends after the gap and before everything was read again.
func TestHealingNamesWhatIsGoneAcrossAKill(t *testing.T) {
	t.Parallel()
	f := newFleet(t, flickering, 1, nil)
	change := func(c *receiver.Config) {
		c.CommitBytes, c.Lookback, c.TableEvery = 1, time.Millisecond, 10*time.Millisecond
	}
	a, b := f.add("a", change), f.add("b", change)
	web, second, third := f.host(0), f.host(0), f.host(0)
	a.start()
	f.ship(web, 1)
	f.floor(1)
	a.stop()
	backup := copyOf(t, a.dir)
	a.start()
	f.ship(web, 2)
	f.ship(second, 1)
	f.ship(third, 1)
	f.floor(5)
	a.stop()
	b.start()
	f.until(func() bool {
		f.ship(web, 1)
		s, err := f.js.Stream(t.Context(), web.stream)
		return err == nil && s.CachedInfo().State.FirstSeq > 3
	}, "what was archived is purged")
	a.dir = backup
	first, next := a.trap(0, "commit"), a.trap(0, "commit")
	a.start()
	first.wait(t)
	first.free()
	next.wait(t)
	if to := a.holds(); to != 4 {
		t.Fatalf("the archive is healed up to %d, want the batch behind the gap", to)
	}
	a.kill()
	next.free()
	a.start()
	f.until(func() bool { return a.holds() == 5 }, "the archive is healed")
	a.stop()
	entries := ledger(t, a.dir)
	if len(entries) != 1 || entries[0].Reason != archive.ReasonRestored || entries[0].To != -1 || entries[0].Epoch != 1 || entries[0].Sequence != 5 {
		t.Fatalf("ledger is %+v, want that messages up to 5 of epoch 1 are gone", entries)
	}
}

// holds is up to where the node's archive has the messages of the first epoch.
func (n *node) holds() (to uint64) {
	n.t.Helper()
	err := n.read(func(r *archive.Reader) error {
		streams, err := r.Streams()
		for _, s := range streams {
			for _, h := range s.Held {
				if h.Epoch == 1 {
					to = h.To
				}
			}
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return to
}
