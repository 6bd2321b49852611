package election_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

// errFenced says that a write came from a leader that somebody has followed.
var errFenced = errors.New("a later term has written")

// fence is what leaders write to: a key without TTL that holds the highest term so far, by compare-and-set.
type fence struct {
	kv jetstream.KeyValue
}

const fenced = "resource"

// write is one write of a leader. It gives the revision it made.
func (f fence) write(ctx context.Context, term uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	value := []byte(strconv.FormatUint(term, 10))
	entry, err := f.kv.Get(ctx, fenced)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return f.kv.Create(ctx, fenced, value)
	}
	if err != nil {
		return 0, err
	}
	stored, err := strconv.ParseUint(string(entry.Value()), 10, 64)
	if err != nil {
		return 0, err
	}
	if stored > term {
		return 0, errFenced
	}
	return f.kv.Update(ctx, fenced, value, entry.Revision())
}

// event is what a leader tells. Children tell it as JSON.
type event struct {
	Who      string
	What     string // begin, wrote, fenced, end
	Term     uint64
	Revision uint64 // of the fence, if it wrote
	Cause    string // of the end
	At       time.Time
}

// duty writes to the fence for as long as it may.
func duty(who string, f fence, tell func(event)) func(context.Context, uint64) error {
	return func(ctx context.Context, term uint64) error {
		tell(event{Who: who, What: "begin", Term: term, At: time.Now()})
		for ctx.Err() == nil {
			switch revision, err := f.write(ctx, term); {
			case err == nil:
				tell(event{Who: who, What: "wrote", Term: term, Revision: revision, At: time.Now()})
			case errors.Is(err, errFenced):
				tell(event{Who: who, What: "fenced", Term: term, At: time.Now()})
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
		tell(event{Who: who, What: "end", Term: term, Cause: context.Cause(ctx).Error(), At: time.Now()})
		return ctx.Err()
	}
}

// history collects events.
type history struct {
	mu     sync.Mutex // guards events
	events []event
}

func (h *history) tell(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *history) all() []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// await waits for an event.
func (h *history) await(t testing.TB, what string, is func(event) bool) event {
	t.Helper()
	var found event
	clustertest.Until(t, what, func() bool {
		all := h.all()
		n := slices.IndexFunc(all, is)
		if n >= 0 {
			found = all[n]
		}
		return n >= 0
	})
	return found
}

// writes waits until someone else than who, in a term after the given one, has written; it gives that write.
func (h *history) writes(t testing.TB, after uint64, not string) event {
	t.Helper()
	return h.await(t, "a leader after term "+strconv.FormatUint(after, 10)+" has written", func(e event) bool {
		return e.What == "wrote" && e.Term > after && e.Who != not
	})
}

// count is how often someone told something.
func (h *history) count(who, what string) int {
	n := 0
	for _, e := range h.all() {
		if e.Who == who && e.What == what {
			n++
		}
	}
	return n
}

// checkFence looks at the writes in the order the fence took them: terms never go back, and a term is one leader's.
func (h *history) checkFence(t testing.TB) {
	t.Helper()
	all := slices.DeleteFunc(h.all(), func(e event) bool { return e.What != "wrote" })
	slices.SortFunc(all, func(a, b event) int { return cmp.Compare(a.Revision, b.Revision) })
	leaders := map[uint64]string{}
	var before event
	for _, e := range all {
		if e.Term < before.Term {
			t.Errorf("%s wrote revision %d in term %d after term %d", e.Who, e.Revision, e.Term, before.Term)
		}
		if who, known := leaders[e.Term]; known && who != e.Who {
			t.Errorf("%s and %s both wrote in term %d", who, e.Who, e.Term)
		}
		leaders[e.Term], before = e.Who, e
	}
	t.Logf("%d writes by %d leaders", len(all), len(leaders))
}

// slack is how late a leader may learn that its ctx has ended while it runs, on a busy machine. Two reigns are TTL/5 apart without it.
const slack = ttl / 5

// checkReigns looks at who led when, by the one clock of this machine, in order of terms. Those whom paused names were stopped meanwhile: the fence alone judges them.
func (h *history) checkReigns(t testing.TB, paused ...string) {
	t.Helper()
	all := slices.DeleteFunc(h.all(), func(e event) bool { return e.What != "begin" && e.What != "end" || slices.Contains(paused, e.Who) })
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Compare(a.Term, b.Term) })
	var end event
	for _, e := range all {
		if e.What == "end" {
			end = e
		} else if !end.At.IsZero() && e.Term > end.Term && e.At.Before(end.At.Add(-slack)) {
			t.Errorf("%s began term %d %v before %s ended term %d", e.Who, e.Term, end.At.Sub(e.At), end.Who, end.Term)
		}
	}
}
