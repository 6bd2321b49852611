package assign_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/logdrive/logdrive/receiver/assign"
	"pgregory.net/rapid"
)

// fleet is what Wishes is asked about.
type fleet struct {
	members    []assign.Member
	previous   []assign.Wish
	partitions int
}

// drawFleet lets rapid choose the sizes, and the rest by a seed: what rapid chooses itself tends to be small and even.
func drawFleet(t *rapid.T, maxMembers, maxPartitions int) fleet {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	return randomFleet(random, rapid.IntRange(0, maxMembers).Draw(t, "members"), rapid.IntRange(0, maxPartitions).Draw(t, "partitions"))
}

// randomFleet has members in up to four zones, of whom none, some or all drain. Partitions were owned by few or many of them, by members that are gone, and by
// nobody; there may have been more of them, or fewer.
func randomFleet(random *rand.Rand, members, partitions int) fleet {
	f := fleet{partitions: partitions}
	zones := []string{"north", "", "south", "west"}[:1+random.IntN(4)]
	zone := func() string { return zones[random.IntN(len(zones))] }
	draining := random.IntN(4) * random.IntN(4) // of nine
	for i := range members {
		f.members = append(f.members, assign.Member{ID: fmt.Sprint("m", i), Zone: zone(), Draining: random.IntN(9) < draining})
	}
	owners := 1 + random.IntN(1+members*3/2)
	for range random.IntN(1 + partitions*3/2) {
		f.previous = append(f.previous, assign.Wish{Owner: fmt.Sprint("m", random.IntN(owners)), Zone: zone()})
		if random.IntN(8) == 0 {
			f.previous[len(f.previous)-1] = assign.Wish{}
		}
	}
	return f
}

func (f fleet) able() []assign.Member {
	return slices.DeleteFunc(slices.Clone(f.members), func(m assign.Member) bool { return m.Draining })
}

func (f fleet) has(id string) bool {
	return slices.ContainsFunc(f.members, func(m assign.Member) bool { return m.ID == id })
}

func (f fleet) before(p int) assign.Wish {
	if p < len(f.previous) {
		return f.previous[p]
	}
	return assign.Wish{}
}

// home is the zone a partition should stay in: where its owner is, or was.
func (f fleet) home(p int) string {
	w := f.before(p)
	for _, m := range f.members {
		if m.ID == w.Owner {
			return m.Zone
		}
	}
	return w.Zone
}

// owned counts the partitions of each owner before.
func (f fleet) owned() map[string]int {
	return count(f.previous[:min(f.partitions, len(f.previous))])
}

// fewestMoves counts partitions that cannot stay: those of owners that do not, and those beyond the shares, of which the larger go to as many
// members as need one.
func (f fleet) fewestMoves() int {
	smaller, larger := f.partitions/len(f.able()), f.partitions%len(f.able())
	owned := f.owned()
	delete(owned, "")
	fewest, need := 0, 0
	for _, m := range f.able() {
		fewest += max(0, owned[m.ID]-smaller)
		if owned[m.ID] > smaller {
			need++
		}
		delete(owned, m.ID)
	}
	for partitions := range maps.Values(owned) {
		fewest += partitions
	}
	return fewest - min(larger, need)
}

func count(wishes []assign.Wish) map[string]int {
	owned := map[string]int{}
	for _, w := range wishes {
		owned[w.Owner]++
	}
	return owned
}

// moves counts the partitions that pass from one owner to another.
func moves(before, after []assign.Wish) int {
	n := 0
	for p := range min(len(before), len(after)) {
		if was := before[p].Owner; was != "" && was != after[p].Owner {
			n++
		}
	}
	return n
}
