package assign_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logdrive/logdrive/receiver/assign"
)

// TestNoneIsBetter compares the wishes with every possible answer, by the guarantees in their order. It knows nothing of shares.
func TestNoneIsBetter(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		checkNoneIsBetter(t, randomFleet(random, random.IntN(6), random.IntN(6)))
	}
}

func checkNoneIsBetter(t *testing.T, f fleet) {
	t.Helper()
	if len(f.able()) == 0 {
		return // there is no other answer
	}
	got := f.faults(assign.Wishes(f.members, f.previous, f.partitions))
	f.everyAnswer(func(wishes []assign.Wish) {
		if better := f.faults(wishes); slices.Compare(better, got) < 0 {
			t.Fatalf("%v: faults %v, but %v of %v", f, got, better, wishes)
		}
	})
}

// faults of an answer, the worst first: the imbalance, the moves, the unevenness of the larger shares over the zones, and the moves out of a zone.
func (f fleet) faults(wishes []assign.Wish) []int {
	able, owned := f.able(), count(wishes)
	smaller := f.partitions / len(able)
	imbalance, unevenness, strays := 0, 0, 0
	larger := map[string]int{}
	for _, m := range able {
		imbalance += max(smaller-owned[m.ID], owned[m.ID]-smaller-1, 0)
		larger[m.Zone] += max(owned[m.ID]-smaller, 0)
	}
	for _, n := range larger {
		unevenness += n * n
	}
	for p, w := range wishes {
		if home := f.home(p); home != "" && home != w.Zone {
			strays++
		}
	}
	return []int{imbalance, moves(f.previous, wishes), unevenness, strays}
}

// everyAnswer visits all ways in which the members that stay can own the partitions.
func (f fleet) everyAnswer(visit func([]assign.Wish)) {
	able, wishes := f.able(), make([]assign.Wish, f.partitions)
	var choose func(p int)
	choose = func(p int) {
		if p == len(wishes) {
			visit(wishes)
			return
		}
		for _, m := range able {
			wishes[p] = assign.Wish{Owner: m.ID, Zone: m.Zone}
			choose(p + 1)
		}
	}
	choose(0)
}
