package receiver_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/archive"
)

// running is a receiver on an archive directory.
type running struct {
	*receiver.Receiver
	js     jetstream.JetStream
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, hub *clustertest.Hub, dir string, change func(*receiver.Config)) *running {
	t.Helper()
	cfg := archive.DefaultConfig()
	cfg.Dir, cfg.Logger = dir, clustertest.Logger(t)
	a, err := archive.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rc := receiver.DefaultConfig()
	rc.Logger, rc.KeepEvery = clustertest.Logger(t), 20*time.Millisecond
	if change != nil {
		change(&rc)
	}
	nc := hub.Receiver(t)
	r, err := receiver.New(nc, a, rc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	run := &running{Receiver: r, js: js, cancel: cancel, done: make(chan error, 1)}
	go func() {
		err := r.Run(ctx)
		nc.Close()
		if closeErr := a.Close(); err == nil {
			err = closeErr
		}
		run.done <- err
	}()
	t.Cleanup(func() { run.stop(t) })
	return run
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		r.done <- nil
		if err != nil {
			t.Errorf("receiver ended with: %v", err)
		}
	case <-time.After(clustertest.Patience):
		t.Fatal("receiver does not end")
	}
}

// agent publishes batches of one host by hand.
type agent struct {
	t      *testing.T
	nc     *nats.Conn
	host   string
	stream string
	head   uint64
	offset int64
	number uint64
}

func join(t *testing.T, hub *clustertest.Hub, host string) *agent {
	t.Helper()
	leaf := clustertest.StartLeaf(t, hub, host, host, hub.Addresses().Leaf)
	a := &agent{t: t, nc: leaf.Client(t), host: host}
	a.hello()
	return a
}

func (a *agent) hello() {
	a.t.Helper()
	w := clustertest.Hello(a.t, a.nc, a.host, a.question())
	a.stream, a.head = w.Stream, w.Head
}

func (a *agent) question() wire.Hello {
	return wire.Hello{Version: wire.Version, Writer: "w-" + a.host, Session: "s-" + a.host}
}

// ship publishes until the hub has it, saying hello when the chain moved.
func (a *agent) ship(raw []byte) {
	a.t.Helper()
	clustertest.Until(a.t, "batch is stored", func() bool {
		seq, err := clustertest.Publish(a.nc, clustertest.Batch(a.host, "w-"+a.host, a.number+1, "/var/log/app.log", a.offset, raw), a.stream, a.head)
		if err != nil {
			w, err := clustertest.TryHello(a.nc, a.host, a.question())
			if err == nil {
				a.stream, a.head = w.Stream, w.Head
			}
			return false
		}
		a.head, a.offset, a.number = seq, a.offset+int64(len(raw)), a.number+1
		return true
	})
}

func archived(t *testing.T, dir, host string, want []byte) {
	t.Helper()
	path := filepath.Join(dir, "hosts", host, "var/log/app.log")
	var got []byte
	clustertest.Until(t, fmt.Sprintf("%s holds %d bytes", path, len(want)), func() bool {
		got = segments(path)
		return len(got) >= len(want)
	})
	if !bytes.Equal(got, want) {
		t.Fatalf("%s differs from what was shipped: %d bytes, want %d", path, len(got), len(want))
	}
}

// segments is a source as the archive has it: rotated segments, whose names sort, and then the active one.
func segments(path string) (all []byte) {
	rotated, _ := filepath.Glob(path + "%*")
	for _, p := range append(rotated, path) {
		data, _ := os.ReadFile(p)
		all = append(all, data...)
	}
	return all
}

func TestArchivesInOrderAndGoesOnAfterARestart(t *testing.T) {
	hub, dir := clustertest.Start(t, clustertest.Config()), t.TempDir()
	r, a := start(t, hub, dir, nil), join(t, hub, "web1")
	var want []byte
	for i := range 50 {
		line := fmt.Appendf(nil, "line %d\n", i)
		want = append(want, line...)
		a.ship(line)
		if i == 25 {
			r.stop(t)
			r = start(t, hub, dir, nil)
		}
	}
	archived(t, dir, "web1", want)
}

func TestQuarantineDoesNotStopThePartition(t *testing.T) {
	hub, dir := clustertest.Start(t, clustertest.Config()), t.TempDir()
	r, a := start(t, hub, dir, nil), join(t, hub, "web1")
	a.ship([]byte("one\n"))
	bad := clustertest.Batch("web1", "w-web1", 2, "/var/log/app.log", 4, []byte("two\n"))
	bad.Data = []byte("TWO\n")
	seq, err := clustertest.Publish(a.nc, bad, a.stream, a.head)
	if err != nil {
		t.Fatal(err)
	}
	a.head, a.offset = seq, 8
	a.ship([]byte("three\n"))
	archived(t, dir, "web1", []byte("one\nthree\n"))
	r.stop(t)
	kept, err := os.ReadDir(filepath.Join(dir, "quarantine"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("quarantine holds %v, %v: want one message", kept, err)
	}
	reasons := ledger(t, dir)
	if len(reasons) != 1 || reasons[0].Reason != archive.ReasonQuarantined || reasons[0].From != 4 || reasons[0].To != 8 {
		t.Fatalf("ledger is %+v, want the four quarantined bytes", reasons)
	}
}

// A message that is no batch at all is kept, and is a link of the chain like any other.
func TestMessageThatIsNoBatch(t *testing.T) {
	hub, dir := clustertest.Start(t, clustertest.Config()), t.TempDir()
	start(t, hub, dir, nil)
	a := join(t, hub, "web1")
	a.ship([]byte("one\n"))
	seq, err := clustertest.Publish(a.nc, &nats.Msg{Subject: wire.LogSubject("web1"), Header: nats.Header{}, Data: []byte("hello?")}, a.stream, a.head)
	if err != nil {
		t.Fatal(err)
	}
	a.head = seq
	a.ship([]byte("two\n"))
	archived(t, dir, "web1", []byte("one\ntwo\n"))
}

// With many hosts and a small stream, the heads alone fill it. It must drain by itself, and every host ship on.
func TestStreamFullOfHeadsDrains(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions, cfg.StreamBytes = 1, 1<<20
	hub, dir := clustertest.Start(t, cfg), t.TempDir()
	var agents []*agent
	for i := range 8 {
		agents = append(agents, join(t, hub, fmt.Sprintf("h%d", i)))
	}
	start(t, hub, dir, nil)
	want := map[string][]byte{}
	for round := range 4 {
		for _, a := range agents {
			raw := bytes.Repeat(fmt.Appendf(nil, "%s round %d\n", a.host, round), 15000)[:120<<10]
			a.ship(raw)
			want[a.host] = append(want[a.host], raw...)
		}
	}
	for host, bytes := range want {
		archived(t, dir, host, bytes)
	}
}

// An archive that was lost is followed by a new one, from the floor on: nothing is archived twice, and nothing looks missing.
func TestNewArchiveTakesOverFromTheFloor(t *testing.T) {
	hub, dir, fresh := clustertest.Start(t, clustertest.Config()), t.TempDir(), t.TempDir()
	r, a := start(t, hub, dir, nil), join(t, hub, "web1")
	a.ship([]byte("one\n"))
	archived(t, dir, "web1", []byte("one\n"))
	r.stop(t)
	r = start(t, hub, fresh, nil)
	a.ship([]byte("two\n"))
	archived(t, fresh, "web1", []byte("two\n"))
	r.stop(t)
	if entries := ledger(t, fresh); len(entries) != 0 {
		t.Fatalf("ledger of the new archive is %+v, want none", entries)
	}
	stream, err := r.js.Stream(t.Context(), a.stream)
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if name != "archive-2" {
			t.Errorf("consumer %s is left", name)
		}
	}
}

// H1, H2: after every purge each host has a head, and a table at or below the floor.
func TestPurgeKeepsHeadsAndTables(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions = 1
	hub, dir := clustertest.Start(t, cfg), t.TempDir()
	start(t, hub, dir, func(c *receiver.Config) { c.Lookback, c.TableEvery = time.Millisecond, 10*time.Millisecond })
	a := join(t, hub, "web1")
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "early batches are purged", func() bool {
		a.ship([]byte("line\n"))
		s, err := js.Stream(t.Context(), a.stream)
		return err == nil && s.CachedInfo().State.Msgs < a.number/2 && a.number > 20
	})
	w := clustertest.Hello(t, a.nc, "web1", wire.Hello{Version: wire.Version, Writer: "w-web1", Session: "s-web1"})
	if w.Head != a.head || w.Archived == 0 || w.Archived > w.Head || w.Table.Find("/var/log/app.log", 1).Offset != a.offset {
		t.Fatalf("after the purge the chain is %+v, want head %d and offset %d", w, a.head, a.offset)
	}
	archived(t, dir, "web1", bytes.Repeat([]byte("line\n"), int(a.number)))
}

func ledger(t *testing.T, dir string) []archive.Entry {
	t.Helper()
	cfg := archive.DefaultConfig()
	cfg.Dir = dir
	a, err := archive.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var all []archive.Entry
	for e, err := range a.Ledger() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}
