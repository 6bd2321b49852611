package receiver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/archive"
)

// A receiver that is told to end while a batch cannot be appended must not go on to the batches behind it: what it commits then would cover the one it left out.
func TestEndsBehindTheLastBatchThatWasAppended(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions = 1
	hub, dir := clustertest.Start(t, cfg), t.TempDir()
	impatient := func(c *receiver.Config) { c.StuckAfter = 1 }
	r, other := start(t, hub, dir, impatient), join(t, hub, "other")
	var want []byte
	say := func() {
		want = append(want, "line\n"...)
		other.ship([]byte("line\n"))
	}
	for round := range 5 {
		host := fmt.Sprint("web", round)
		block := filepath.Join(dir, "hosts", host)
		say()
		archived(t, dir, "other", want)
		if err := os.WriteFile(block, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		a := join(t, hub, host)
		a.ship([]byte("precious\n"))
		for range 3 {
			say()
		}
		r.struggles(t)
		r.stop(t)
		if err := os.Remove(block); err != nil {
			t.Fatal(err)
		}
		r = start(t, hub, dir, impatient)
		archived(t, dir, host, []byte("precious\n"))
	}
	archived(t, dir, "other", want)
}

// What a restored archive lacks for good is committed with the last batch that was read again, or that batch is not committed: neither a table that cannot be read
// nor the end of the process may come between.
func TestHealsOrReadsAgain(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions = 1
	hub, dir, copied := clustertest.Start(t, cfg), filepath.Join(t.TempDir(), "archive"), filepath.Join(t.TempDir(), "archive")
	r, a := start(t, hub, dir, nil), join(t, hub, "web1")
	a.ship([]byte("one\n"))
	archived(t, dir, "web1", []byte("one\n"))
	r.stop(t)
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r = start(t, hub, dir, nil)
	a.ship([]byte("two\n"))
	a.ship([]byte("three\n"))
	archived(t, dir, "web1", []byte("one\ntwo\nthree\n"))
	r.stop(t)

	table := lackingTable(t, a)
	put := putTable(t, hub, a)
	put([]byte("rubbish"))
	late := func(c *receiver.Config) { c.CommitEvery, c.StuckAfter = time.Hour, 1 }
	r = start(t, hub, copied, late)
	r.struggles(t)
	r.stop(t)
	r = start(t, hub, copied, late)
	r.struggles(t)
	put(table)
	clustertest.Until(t, "the archive is healed", func() bool { return r.Ready() == nil })
	a.ship([]byte("four\n"))
	archived(t, copied, "web1", []byte("one\ntwo\nthree\nfour\n"))
	r.stop(t)
	entries := ledger(t, copied)
	if len(entries) != 1 || entries[0].Source != "/gone" || entries[0].To != 9 || entries[0].Reason != archive.ReasonRestored {
		t.Fatalf("ledger is %+v, want the nine bytes of /gone", entries)
	}
}

// struggles waits until a batch cannot be archived.
func (r *running) struggles(t *testing.T) {
	t.Helper()
	clustertest.Until(t, "a batch cannot be archived", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "archive message")
	})
}

// lackingTable is the table of the agent's chain, with a file that no batch in the stream speaks of.
func lackingTable(t *testing.T, a *agent) []byte {
	t.Helper()
	w := clustertest.Hello(t, a.nc, a.host, wire.Hello{Version: wire.Version, Writer: "w-" + a.host, Session: "s-" + a.host})
	w.Table.Sources["/gone"] = []wire.Extent{{Generation: 1, Identity: "g", Offset: 9, Length: -1}}
	data, err := w.Table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bucketOf is where the hub keeps layout, records and tables.
func bucketOf(t *testing.T, hub *clustertest.Hub) jetstream.KeyValue {
	t.Helper()
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func putTable(t *testing.T, hub *clustertest.Hub, a *agent) func([]byte) {
	t.Helper()
	bucket := bucketOf(t, hub)
	return func(data []byte) {
		t.Helper()
		if _, err := bucket.Put(context.Background(), wire.TableKey(a.stream, a.host), data); err != nil {
			t.Fatal(err)
		}
	}
}

// What is published under a name that no host can have goes to quarantine, and does not stay in the stream for ever: no table will cover it.
func TestRubbishDoesNotFillTheStream(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions = 1
	hub, dir := clustertest.Start(t, cfg), t.TempDir()
	start(t, hub, dir, func(c *receiver.Config) { c.Lookback = time.Millisecond })
	a := join(t, hub, "web1")
	for range 9 {
		if err := a.nc.Publish("logs.=rubbish", []byte("rubbish")); err != nil {
			t.Fatal(err)
		}
	}
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	subject := "part.1.0.=rubbish"
	most := uint64(0)
	clustertest.Until(t, "rubbish is purged", func() bool {
		a.ship([]byte("line\n"))
		s, err := js.Stream(t.Context(), a.stream)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(subject))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.State.Subjects[subject])
		return most > 0 && info.State.Subjects[subject] == 0
	})
}

// A record is of one stream, and not of another that was made later under the same name: its floor would pass over what that one holds.
func TestStreamMadeAnewIsNotArchivedFromTheOldFloor(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions = 1
	hub, dir := clustertest.Start(t, cfg), t.TempDir()
	r, a := start(t, hub, dir, nil), join(t, hub, "web1")
	a.ship([]byte("one\n"))
	archived(t, dir, "web1", []byte("one\n"))
	r.stop(t)
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), a.stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), a.stream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), stream.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	if _, err := clustertest.Publish(a.nc, clustertest.Batch("web1", "w-web1", 1, "/var/log/app.log", 0, []byte("new\n")), a.stream, 0); err != nil {
		t.Fatal(err)
	}
	r = start(t, hub, t.TempDir(), func(c *receiver.Config) { c.StuckAfter = 1 })
	clustertest.Until(t, "the partition stops", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "was created at")
	})
}
