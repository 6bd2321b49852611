package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/handover"
)

// standstill is how long a partition with pending batches may stand still, counted from the last thing that was done to those who work on it: the lease of its owner and
// of the coordinator have to end (2 s each), owners that were seen before get another to come back, a worker that failed pauses for up to 5 s. The
// rest is for the machine.
const standstill = 20 * time.Second

// watch follows the records of a hub while things happen, and complains of what must never be: about how records change, and about partitions that stand still without
// anything that would excuse it.
type watch struct {
	t      testing.TB
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	layout wire.Layout
	stop   func()

	mu         sync.Mutex // guards what follows
	partitions []standing
	wishes     []string             // owners
	leader     string               // the archive of the coordinator, or of the last one
	well       map[string]bool      // archives whose receivers run, linked and not frozen
	touched    map[string]time.Time // when something was done to a receiver last, for better or worse
	upset      time.Time            // when something was done to all
	longest    time.Duration        // that a partition stood still without an excuse
	changes    int                  // of owners
}

// standing is what is known of one partition.
type standing struct {
	revision uint64 // of its record
	record   handover.Record
	moved    time.Time // when the floor moved, or nothing was pending
	stuck    bool      // and that is reported
}

// watch begins to watch until the test ends.
func (c *crew) watch() *watch {
	c.t.Helper()
	v := c.view()
	w := &watch{
		t: c.t, js: v.js, bucket: v.bucket, layout: v.layout,
		partitions: make([]standing, v.layout.Partitions), well: map[string]bool{}, touched: map[string]time.Time{}, upset: time.Now(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var both sync.WaitGroup
	both.Go(func() { w.follow(ctx) })
	both.Go(func() { w.look(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		both.Wait()
	})
	c.t.Cleanup(w.stop)
	return w
}

// note says that something was done to the receiver of an archive, and whether it is well now.
func (w *watch) note(archive string, well bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.well[archive], w.touched[archive] = well, time.Now()
}

// isWell reports what was noted last.
func (w *watch) isWell(archive string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.well[archive]
}

// figures are the longest time that a partition stood still without an excuse, and how often one changed its owner.
func (w *watch) figures() (longest time.Duration, changes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.longest.Round(time.Millisecond), w.changes
}

// excuse says that something was done to everything.
func (w *watch) excuse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upset = time.Now()
}

// coordinator is the archive of the receiver that coordinates, as seen last.
func (w *watch) coordinator() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leader
}

// record is that of a partition, as seen last.
func (w *watch) record(partition int) handover.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.partitions[partition].record
}

// follow checks every change of a record that it is shown. The hub may skip some when it is behind, so each is compared with the last one seen, however far apart.
func (w *watch) follow(ctx context.Context) {
	updates, err := w.bucket.Watch(ctx, "record.>")
	if err != nil {
		w.t.Errorf("watch the records: %v", err)
		return
	}
	defer func() { _ = updates.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case entry := <-updates.Updates():
			if entry != nil {
				w.see(entry)
			}
		}
	}
}

func (w *watch) see(entry jetstream.KeyValueEntry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := slices.IndexFunc(w.keys(), func(key string) bool { return key == entry.Key() })
	var now handover.Record
	if err := json.Unmarshal(entry.Value(), &now); err != nil || p < 0 {
		w.t.Errorf("%s is no record: %q", entry.Key(), entry.Value())
		return
	}
	s := &w.partitions[p]
	if entry.Revision() <= s.revision { // the other way of looking was faster
		return
	}
	if s.revision > 0 {
		w.compare(p, s.record, now)
	}
	if now.Floor > s.record.Floor {
		s.moved = time.Now()
	}
	s.revision, s.record = entry.Revision(), now
}

func (w *watch) keys() (keys []string) {
	for p := range w.layout.Partitions {
		keys = append(keys, wire.RecordKey(w.layout.Number, p))
	}
	return keys
}

// compare complains of what no record may do: its floor never goes back, and tenures are only ever added, each with the next epoch, from the floor on.
func (w *watch) compare(p int, was, now handover.Record) {
	kept := min(len(was.Epochs), len(now.Epochs))
	last := now.Epochs[len(now.Epochs)-1]
	switch {
	case now.Stream != was.Stream || !now.Created.Equal(was.Created):
		w.t.Errorf("the record of partition %d is of another stream: %+v, before %+v", p, now, was)
	case now.Floor < was.Floor:
		w.t.Errorf("the floor of partition %d went back from %d to %d: %+v, before %+v", p, was.Floor, now.Floor, now, was)
	case kept < len(was.Epochs) || !slices.Equal(was.Epochs, now.Epochs[:kept]):
		w.t.Errorf("the history of partition %d was rewritten: %+v, before %+v", p, now, was)
	case last.Epoch != now.Epoch || last.Owner != now.Owner:
		w.t.Errorf("the history of partition %d does not end with its owner: %+v", p, now)
	}
	end := was.Floor
	for i, e := range now.Epochs[kept:] {
		if e.Epoch != uint64(kept+i+1) || e.Start < end || e.Start > now.Floor {
			w.t.Errorf("partition %d was taken over wrongly, in epoch %d: %+v, before %+v", p, e.Epoch, now, was)
		}
		end = e.Start
		w.changes++
	}
}

// look checks again and again that every partition moves.
func (w *watch) look(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.lookOnce(ctx); err != nil { // the hub is down
			w.excuse()
		}
	}
}

func (w *watch) lookOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := w.readRoles(ctx); err != nil {
		return err
	}
	for p, key := range w.keys() {
		entry, err := w.bucket.Get(ctx, key)
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return err
		}
		if err == nil {
			w.see(entry)
		}
		stream, err := w.js.Stream(ctx, w.layout.Stream(p))
		if err != nil {
			return err
		}
		w.judge(p, stream.CachedInfo().State.LastSeq)
	}
	return nil
}

// readRoles reads who should own what, and who says so.
func (w *watch) readRoles(ctx context.Context) error {
	var wishes receiver.Wishes
	var claim struct{ ID string }
	leases, err := w.js.KeyValue(ctx, "LOGDRIVE_LEASES")
	if err == nil {
		err = value(ctx, leases, "coordinator", &claim)
	}
	if err = errors.Join(err, value(ctx, w.bucket, wire.WishesKey(w.layout.Number), &wishes)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if claim.ID != "" {
		w.leader = claim.ID
	}
	w.wishes = w.wishes[:0]
	for _, wish := range wishes.Wishes {
		w.wishes = append(w.wishes, wish.Owner)
	}
	return nil
}

// value reads a key; one that is not there leaves it as it is.
func value(ctx context.Context, bucket jetstream.KeyValue, key string, into any) error {
	entry, err := bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(entry.Value(), into)
}

// judge complains if a partition has stood still for too long since its owner, the wished one or the coordinator was touched, and since somebody is well.
func (w *watch) judge(p int, last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, s := time.Now(), &w.partitions[p]
	if s.record.Floor >= last {
		s.moved, s.stuck = now, false
		return
	}
	if !w.anyoneWell() {
		w.upset = now
	}
	since := s.moved
	for _, t := range []time.Time{w.upset, w.touched[s.record.Owner], w.touched[w.leader], w.touched[w.wish(p)]} {
		if t.After(since) {
			since = t
		}
	}
	still := now.Sub(since)
	w.longest = max(w.longest, still)
	if still > standstill && !s.stuck {
		s.stuck = true
		w.t.Errorf("partition %d stands still for %v at %d of %d: %s should own it, %s coordinates, the record says %+v",
			p, still.Round(time.Millisecond), s.record.Floor, last, w.wish(p), w.leader, s.record)
	}
}

func (w *watch) anyoneWell() bool {
	for _, well := range w.well {
		if well {
			return true
		}
	}
	return false
}

func (w *watch) wish(p int) string {
	if p < len(w.wishes) {
		return w.wishes[p]
	}
	return ""
}
