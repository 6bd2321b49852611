package election_test

import (
	"context"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	cut := func() (time.Duration, time.Duration) {
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
	l := func() (time.Duration, time.Duration) {
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

// A renewal that was stored and never answered is recognized by what the key holds. The leader goes on, in the same term.
func TestUnansweredRenewals(t *testing.T) {
	var n int
	odd := func() (time.Duration, time.Duration) {
		if n++; n > 10 && n%4 == 0 {
			return 0, -1
		}
		return 0, 0
	}
	bubble(t, odd, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		time.Sleep(10 * time.Minute)
		hub.mu.Lock()
		defer hub.mu.Unlock()
		if n < 1000 || len(b)+len(ended) != 0 {
			t.Errorf("after %d requests: a ended %d times, b won %d times", n, len(ended), len(b))
		}
	})
}

// A win that was never answered is a win once that shows, by the revision that won. If ctx ends meanwhile, the lease is given back.
func TestUnansweredWin(t *testing.T) {
	var n int
	lossy := func() (time.Duration, time.Duration) {
		if n++; n >= 3 && n <= 5 { // 1 and 2 ask for the TTL, then the watch is opened and the key made, in any order
			return 0, -1
		}
		return 0, 0
	}
	bubble(t, lossy, func(t *testing.T, hub *fakeHub, first uint64, b chan uint64, ended chan reign) {
		if first != 1 || len(b) != 0 {
			t.Errorf("won by term %d", first)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		hub, unanswered := newFakeHub(2*time.Second), 0
		l := func() (time.Duration, time.Duration) {
			if unanswered++; unanswered == 3 || unanswered == 4 {
				return 0, -1
			}
			return 0, 0
		}
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		defer cancel()
		a := make(chan uint64, 1)
		if err := election.Run(ctx, &fakeKV{hub: hub, link: l}, key, quiet("a"), reigning("a", a, make(chan reign, 1))); err != nil || len(a) != 0 {
			t.Errorf("Run ended with %v, won %d times", err, len(a))
		}
		if hub.last == nil || hub.last.value != nil {
			t.Errorf("the key holds %+v, want a mark of its deletion", hub.last)
		}
	})
}

var seeds = flag.Int("seeds", 0, "how many runs of TestAnyNetwork")

// Whatever a network does to requests and answers, reigns do not overlap, terms grow, and with a good network again someone leads.
func TestAnyNetwork(t *testing.T) {
	runs := *seeds
	if runs == 0 {
		runs = 40
		if testing.Short() {
			runs = 8
		}
	}
	first, reigns := rand.Uint64(), 0
	for n := range runs {
		reigns += anyNetwork(t, first+uint64(n))
		if t.Failed() {
			t.Fatalf("seed %d", first+uint64(n))
		}
	}
	t.Logf("%d reigns in %d runs", reigns, runs)
}

// anyNetwork runs three candidates for 20 minutes, with links that change their mood every few seconds.
func anyNetwork(t *testing.T, seed uint64) (total int) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended, done := make(chan reign, 100000), make(chan error, 3)
		var calm bool
		for _, who := range []string{"a", "b", "c"} {
			l := moody(rand.New(rand.NewPCG(seed, uint64(who[0]))), &calm)
			lead := reigning(who, make(chan uint64, 100000), ended)
			go func() { done <- election.Run(ctx, &fakeKV{hub: hub, link: l}, key, quiet(who), lead) }()
		}
		time.Sleep(20 * time.Minute)
		hub.mu.Lock()
		calm = true
		hub.mu.Unlock()
		time.Sleep(time.Minute)
		hub.mu.Lock()
		if hub.current() == nil {
			t.Error("nobody leads in a good network")
		}
		hub.mu.Unlock()
		cancel()
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		total = checkReigns(t, ended)
	})
	return total
}

// moody is a link that is good, slow, lossy or dead for some seconds each, or deaf: requests arrive, answers do not.
func moody(random *rand.Rand, calm *bool) link {
	var mood int
	var until time.Time
	return func() (time.Duration, time.Duration) {
		if *calm {
			return time.Millisecond, time.Millisecond
		}
		if !time.Now().Before(until) {
			mood, until = random.IntN(5), time.Now().Add(time.Duration(random.Int64N(int64(5*time.Second))))
		}
		some := func(most time.Duration) time.Duration { return time.Duration(random.Int64N(int64(most))) }
		switch mood {
		case 0:
			return some(5 * time.Millisecond), some(5 * time.Millisecond)
		case 1:
			return some(time.Second), some(time.Second)
		case 2:
			return some(400*time.Millisecond) - 100*time.Millisecond, some(400*time.Millisecond) - 100*time.Millisecond
		case 3:
			return -1, -1
		default:
			return some(3 * time.Second), -1
		}
	}
}

// checkReigns looks at all reigns that ended, in order of their terms.
func checkReigns(t *testing.T, ended chan reign) int {
	t.Helper()
	byTerm := map[uint64]reign{}
	var last uint64
	total := len(ended)
	for range total {
		r := <-ended
		if _, twice := byTerm[r.term]; twice {
			t.Errorf("term %d was given twice", r.term)
		}
		byTerm[r.term], last = r, max(last, r.term)
	}
	var before reign
	for term := range last + 1 {
		r, ok := byTerm[term]
		if !ok {
			continue
		}
		if r.begin.Before(before.end) {
			t.Errorf("%s leads in term %d from %v, %s in term %d until %v", r.who, r.term, r.begin, before.who, before.term, before.end)
		}
		before = r
	}
	return total
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
