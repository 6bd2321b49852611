package election_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logdrive/logdrive/election"
)

var (
	seeds = flag.Int("seeds", 0, "how many runs of TestAnyNetwork")
	seed  = flag.Uint64("seed", 0, "the first of them, to see a failed one again; 0: any")
)

// Whatever a network does to requests and answers, reigns do not overlap, terms grow, and with a good network again someone leads.
func TestAnyNetwork(t *testing.T) {
	runs := *seeds
	if runs == 0 {
		runs = 40
		if testing.Short() {
			runs = 4
		}
	}
	first, reigns := *seed, 0
	if first == 0 {
		first = rand.Uint64()
	}
	for n := range runs {
		reigns += anyNetwork(t, first+uint64(n))
		if t.Failed() {
			t.Fatalf("again with -seeds 1 -seed %d", first+uint64(n))
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
	return func(string) (time.Duration, time.Duration) {
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
