package election_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// fakeHub is a bucket with one key, for tests in a bubble of testing/synctest, where no network may be. It ends keys at the very end of their TTL, which is
// the hardest a hub can be; real ones take up to 350 ms more.
type fakeHub struct {
	ttl time.Duration

	mu       sync.Mutex // guards what follows
	revision uint64     // of the bucket
	last     *fakeEntry // of the key; nil: none
	watchers map[chan jetstream.KeyValueEntry]bool
	updated  int // times that the key was renewed
	refusals int // of deletions to come, as by a hub of several nodes that has not forgotten the write before
}

func newFakeHub(ttl time.Duration) *fakeHub {
	return &fakeHub{ttl: ttl, watchers: map[chan jetstream.KeyValueEntry]bool{}}
}

// fakeEntry is a revision of the key.
type fakeEntry struct {
	jetstream.KeyValueEntry
	value    []byte
	revision uint64
	op       jetstream.KeyValueOp
	by       *fakeKV
	ends     time.Time
}

func (e *fakeEntry) Value() []byte                   { return e.value }
func (e *fakeEntry) Revision() uint64                { return e.revision }
func (e *fakeEntry) Operation() jetstream.KeyValueOp { return e.op }

// Created tells a wall clock that goes astray by years: nobody may use it.
func (e *fakeEntry) Created() time.Time { return time.Unix(rand.Int64N(4e9), 0) }

// current is the last revision, if it has not ended. The caller holds mu.
func (h *fakeHub) current() *fakeEntry {
	if h.last != nil && !time.Now().Before(h.last.ends) {
		h.last = nil
	}
	return h.last
}

// put stores a revision if the last one is as expected. The caller holds mu.
func (h *fakeHub) put(by *fakeKV, value []byte, op jetstream.KeyValueOp, expected uint64) (uint64, bool) {
	var at uint64
	if e := h.current(); e != nil {
		at = e.revision
	}
	if at != expected {
		return 0, false
	}
	h.revision++
	h.last = &fakeEntry{value: value, revision: h.revision, op: op, by: by, ends: time.Now().Add(h.ttl)}
	for w := range h.watchers {
		w <- h.last
	}
	return h.revision, true
}

// link is how one client's request of a kind and its answer travel. A negative time means never. It is called with the hub's lock held.
type link func(op string) (there, back time.Duration)

// direct is a link that takes no time.
func direct(string) (there, back time.Duration) { return 0, 0 }

// fakeKV is the bucket as one client sees it.
type fakeKV struct {
	jetstream.KeyValue
	hub  *fakeHub
	link link
}

type answer struct {
	revision uint64
	entry    *fakeEntry
	err      error
}

// ask carries a request to the hub, where it happens even if the client has given up by then.
func (kv *fakeKV) ask(ctx context.Context, op string, request func() answer) answer {
	kv.hub.mu.Lock()
	there, back := kv.link(op)
	kv.hub.mu.Unlock()
	answers := make(chan answer, 1)
	if there >= 0 {
		go func() {
			time.Sleep(there)
			kv.hub.mu.Lock()
			a := request()
			kv.hub.mu.Unlock()
			if back >= 0 {
				time.Sleep(back)
				answers <- a
			}
		}()
	}
	select {
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	case a := <-answers:
		return a
	}
}

func (kv *fakeKV) Bucket() string { return "FAKE" }

func (kv *fakeKV) Create(ctx context.Context, _ string, value []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	a := kv.ask(ctx, "create", func() answer {
		var expected uint64
		if e := kv.hub.current(); e != nil && e.op != jetstream.KeyValuePut {
			expected = e.revision
		}
		revision, ok := kv.hub.put(kv, value, jetstream.KeyValuePut, expected)
		if !ok {
			return answer{err: jetstream.ErrKeyExists}
		}
		return answer{revision: revision}
	})
	return a.revision, a.err
}

func (kv *fakeKV) Update(ctx context.Context, _ string, value []byte, expected uint64) (uint64, error) {
	a := kv.ask(ctx, "update", func() answer {
		revision, ok := kv.hub.put(kv, value, jetstream.KeyValuePut, expected)
		if !ok {
			return answer{err: jetstream.ErrKeyRevisionMismatch}
		}
		kv.hub.updated++
		return answer{revision: revision}
	})
	return a.revision, a.err
}

func (kv *fakeKV) Get(ctx context.Context, _ string) (jetstream.KeyValueEntry, error) {
	a := kv.ask(ctx, "get", func() answer {
		e := kv.hub.current()
		if e == nil || e.op != jetstream.KeyValuePut {
			return answer{err: jetstream.ErrKeyNotFound}
		}
		return answer{entry: e}
	})
	return a.entry, a.err
}

// Delete expects the revision that this client wrote last, since the options of a real one are closed to us.
func (kv *fakeKV) Delete(ctx context.Context, _ string, _ ...jetstream.KVDeleteOpt) error {
	kv.hub.mu.Lock()
	e := kv.hub.current()
	kv.hub.mu.Unlock()
	if e == nil || e.by != kv || e.op != jetstream.KeyValuePut {
		return jetstream.ErrKeyRevisionMismatch
	}
	return kv.ask(ctx, "delete", func() answer {
		if kv.hub.refusals > 0 {
			kv.hub.refusals--
			return answer{err: jetstream.ErrKeyRevisionMismatch}
		}
		if _, ok := kv.hub.put(kv, nil, jetstream.KeyValueDelete, e.revision); !ok {
			return answer{err: jetstream.ErrKeyRevisionMismatch}
		}
		return answer{}
	}).err
}

func (kv *fakeKV) Status(ctx context.Context) (jetstream.KeyValueStatus, error) {
	a := kv.ask(ctx, "status", func() answer { return answer{} })
	return fakeStatus{ttl: kv.hub.ttl}, a.err
}

type fakeStatus struct {
	jetstream.KeyValueStatus
	ttl time.Duration
}

func (s fakeStatus) TTL() time.Duration { return s.ttl }

type fakeWatcher struct{ updates chan jetstream.KeyValueEntry }

func (w fakeWatcher) Updates() <-chan jetstream.KeyValueEntry { return w.updates }
func (w fakeWatcher) Stop() error                             { return nil }

// Watch ends with its ctx, as a real one does. Its buffer is larger than what may happen until then.
func (kv *fakeKV) Watch(ctx context.Context, _ string, _ ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	updates := make(chan jetstream.KeyValueEntry, 10000)
	a := kv.ask(ctx, "watch", func() answer {
		if e := kv.hub.current(); e != nil {
			updates <- e
		}
		updates <- nil
		kv.hub.watchers[updates] = true
		return answer{}
	})
	context.AfterFunc(ctx, func() {
		kv.hub.mu.Lock()
		defer kv.hub.mu.Unlock()
		delete(kv.hub.watchers, updates)
	})
	return fakeWatcher{updates}, a.err
}
