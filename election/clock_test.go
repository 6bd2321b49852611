package election_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/election"
)

// quiet is a candidate's config for a bubble.
func quiet(id string) election.Config {
	cfg := election.DefaultConfig()
	cfg.ID, cfg.Logger = id, slog.New(slog.DiscardHandler)
	return cfg
}

// reign is one call of lead.
type reign struct {
	who        string
	term       uint64
	begin, end time.Time
	cause      error
}

// reigning leads until told to stop and tells of it.
func reigning(who string, begun chan<- uint64, ended chan<- reign) func(context.Context, uint64) error {
	return func(ctx context.Context, term uint64) error {
		r := reign{who: who, term: term, begin: time.Now()}
		begun <- term
		<-ctx.Done()
		r.end, r.cause = time.Now(), context.Cause(ctx)
		ended <- r
		return nil
	}
}

// bubble runs candidates a and b against a fake hub, in time that does not pass by itself. a has the link, and begins.
func bubble(t *testing.T, l link, test func(t *testing.T, hub *fakeHub, term uint64, b chan uint64, ended chan reign)) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		a, b, ended, done := make(chan uint64, 100), make(chan uint64, 100), make(chan reign, 100), make(chan error, 2)
		go func() {
			done <- election.Run(ctx, &fakeKV{hub: hub, link: l}, key, quiet("a"), reigning("a", a, ended))
		}()
		term := receive(t, "a leads", a)
		go func() {
			done <- election.Run(ctx, &fakeKV{hub: hub, link: direct}, key, quiet("b"), reigning("b", b, ended))
		}()
		test(t, hub, term, b, ended)
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// A leader that hears no more leaves a fifth of the TTL before the hub can give the lease to another, which happens as soon as that can be.
func TestLeavesBeforeTheTTL(t *testing.T) {
	var silent bool
	cut := func(string) (time.Duration, time.Duration) {
		if silent {
			return -1, -1
		}
		return 0, 0
	}
	bubble(t, cut, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		time.Sleep(time.Minute)
		synctest.Wait()
		hub.mu.Lock()
		silent = true
		ends := hub.last.ends
		hub.mu.Unlock()
		r := receive(t, "the end", ended)
		if left := ends.Sub(r.end); left != 400*time.Millisecond || !errors.Is(r.cause, election.ErrLost) {
			t.Errorf("left %v before the end, with %v", left, r.cause)
		}
		second := receive(t, "b leads", b)
		if late := time.Since(ends); second <= first || late < 0 || late > 250*time.Millisecond {
			t.Errorf("b leads by term %d after %d, %v after the end of the lease", second, first, late)
		}
	})
}

// The time of a lease counts from when its renewal was sent, not from when the answer came.
func TestLateAnswersDoNotProlong(t *testing.T) {
	var silent bool
	l := func(string) (time.Duration, time.Duration) {
		if silent {
			return -1, -1
		}
		return 0, 400 * time.Millisecond
	}
	bubble(t, l, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		time.Sleep(time.Minute)
		hub.mu.Lock()
		for n := hub.updated; n == hub.updated; { // until one is stored whose answer is on its way
			hub.mu.Unlock()
			time.Sleep(time.Millisecond)
			hub.mu.Lock()
		}
		silent = true
		ends := hub.last.ends
		hub.mu.Unlock()
		if r := receive(t, "the end", ended); ends.Sub(r.end) < 400*time.Millisecond {
			t.Errorf("left %v before the end", ends.Sub(r.end))
		}
	})
}

// Recognizing a renewal does not prolong the lease: it was stored when it was sent, not when that became known.
func TestRecognizedRenewalDoesNotProlong(t *testing.T) {
	var armed, read bool
	var updates int
	var ends time.Time // of the lease: a TTL after its last renewal was stored
	l := func(op string) (time.Duration, time.Duration) {
		switch {
		case !armed:
			return 0, 0
		case read:
			return -1, -1
		case op == "get":
			read = true
			return 0, 300 * time.Millisecond // just before the lease is over
		}
		if updates++; updates == 1 {
			ends = time.Now().Add(2 * time.Second)
			return 0, -1
		}
		return 0, 0
	}
	bubble(t, l, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		time.Sleep(time.Minute)
		hub.mu.Lock()
		armed = true
		hub.mu.Unlock()
		r := receive(t, "the end", ended)
		hub.mu.Lock()
		defer hub.mu.Unlock()
		if left := ends.Sub(r.end); !read || updates != 2 || left < 400*time.Millisecond {
			t.Errorf("left %v before the end; read: %v, %d updates", left, read, updates)
		}
	})
}

// Force on the key is heard by the watch: nobody leads on until the next renewal.
func TestDeposedAtOnce(t *testing.T) {
	bubble(t, direct, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		time.Sleep(time.Minute + 100*time.Millisecond)
		hub.mu.Lock()
		hub.put(nil, nil, jetstream.KeyValueDelete, hub.last.revision)
		hub.mu.Unlock()
		start := time.Now()
		r := receive(t, "the end", ended)
		if took := time.Since(start); took != 0 || !errors.Is(r.cause, election.ErrDeposed) {
			t.Errorf("ended after %v with %v", took, r.cause)
		}
	})
}

// A leader that takes its time to end keeps the lease until it has: nobody begins before.
func TestWindingDownKeepsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		begun, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- election.Run(ctx, &fakeKV{hub: hub, link: direct}, key, quiet("a"), func(ctx context.Context, _ uint64) error {
				close(begun)
				<-ctx.Done()
				time.Sleep(10 * time.Second)
				hub.mu.Lock()
				defer hub.mu.Unlock()
				if e := hub.current(); e == nil || e.op != jetstream.KeyValuePut {
					t.Error("the lease ended before its leader did")
				}
				return ctx.Err()
			})
		}()
		<-begun
		time.Sleep(time.Second)
		cancel()
		if err := receive(t, "a ends", done); err != nil {
			t.Error(err)
		}
		if e := hub.current(); e == nil || e.op != jetstream.KeyValueDelete {
			t.Errorf("the key holds %+v, want a mark of its deletion", e)
		}
	})
}

// A watch that died without a word is opened anew: an observer sees what follows.
func TestDeadWatch(t *testing.T) {
	bubble(t, direct, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		seen, stopped := make(chan election.Leader, 100), make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			stopped <- election.Observe(ctx, &fakeKV{hub: hub, link: direct}, key, func(l election.Leader) { seen <- l })
		}()
		wantLeader(t, seen, election.Leader{ID: "a", Term: first})
		hub.mu.Lock()
		clear(hub.watchers) // the candidates' as well
		hub.put(nil, nil, jetstream.KeyValueDelete, hub.last.revision)
		hub.mu.Unlock()
		receive(t, "the end", ended)
		if l := receive(t, "the next leader is seen", seen); l.Term <= first {
			t.Errorf("observed %+v after term %d", l, first)
		}
		cancel()
		if err := receive(t, "the observer ends", stopped); err != nil {
			t.Error(err)
		}
	})
}

// No wall clock decides anything: what the package may do with time is told by these names. Times of the fake hub's entries are years astray, too.
func TestNoWallClock(t *testing.T) {
	monotonic := map[string]bool{
		"Now": true, "Since": true, "Until": true, "NewTimer": true, "After": true, "AfterFunc": true, "Time": true, "Duration": true, "Second": true, "Millisecond": true,
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "time" && !monotonic[selector.Sel.Name] {
				t.Errorf("%s uses time.%s", f.Name(), selector.Sel.Name)
			}
			switch selector.Sel.Name {
			case "Created", "Round", "Truncate", "UTC", "Local", "In", "Unix", "UnixNano", "UnixMilli": // these are, or take away, what is monotonic
				t.Errorf("%s uses %s", f.Name(), selector.Sel.Name)
			}
			return true
		})
	}
}
