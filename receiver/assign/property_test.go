package assign_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/logdrive/logdrive/receiver/assign"
	"pgregory.net/rapid"
)

// TestGuarantees holds what doc.go promises to be true of fleets of any size.
func TestGuarantees(t *testing.T) {
	rapid.Check(t, guarantees)
}

// FuzzGuarantees lets the fuzzer draw the fleets.
func FuzzGuarantees(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(guarantees))
}

func guarantees(t *rapid.T) {
	check(t, drawFleet(t, 120, 256))
}

// TestEverySize goes through all numbers of partitions with few to many members.
func TestEverySize(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for partitions := range 257 {
		for _, members := range []int{0, 1, 2, 3, 5, 8, 13, 34, 55, 120} {
			check(t, randomFleet(random, members, partitions))
		}
	}
}

// check holds the wishes for a fleet against the guarantees.
func check(t rapid.TB, f fleet) {
	t.Helper()
	wishes := assign.Wishes(f.members, f.previous, f.partitions)
	if len(wishes) != f.partitions {
		t.Fatalf("%d wishes for %d partitions", len(wishes), f.partitions)
	}
	if len(f.able()) == 0 {
		checkNobodyStays(t, f, wishes)
		return
	}
	checkOwners(t, f, wishes)
	checkBalance(t, f, wishes)
	if got, want := moves(f.previous, wishes), f.fewestMoves(); got != want {
		t.Fatalf("%d moves, %d are enough", got, want)
	}
	checkEvenness(t, f, wishes)
	checkAffinity(t, f, wishes)
}

// TestOrderDoesNotMatter lists the same members otherwise, some of them twice and with two opinions of them.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t, 20, 40)
		for _, m := range f.members[:len(f.members)/2] {
			f.members = append(f.members, assign.Member{ID: m.ID, Zone: "west", Draining: rapid.Bool().Draw(t, "draining")})
		}
		want := assign.Wishes(f.members, f.previous, f.partitions)
		members := rapid.Permutation(f.members).Draw(t, "order")
		if got := assign.Wishes(members, f.previous, f.partitions); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// TestItsOwnAnswerStands asks again: a coordinator that writes wishes only when they change then falls silent.
func TestItsOwnAnswerStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t, 120, 256)
		want := assign.Wishes(f.members, f.previous, f.partitions)
		if got := assign.Wishes(f.members, want, f.partitions); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// TestArgumentsStay: the caller may go on using what it handed over.
func TestArgumentsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t, 20, 40)
		members, previous := slices.Clone(f.members), slices.Clone(f.previous)
		wishes := assign.Wishes(f.members, f.previous, f.partitions)
		for p := range wishes {
			wishes[p] = assign.Wish{Owner: "overwritten"}
		}
		if !slices.Equal(f.members, members) || !slices.Equal(f.previous, previous) {
			t.Fatal("an argument was changed")
		}
	})
}

// TestAnything: whatever the members and the previous wishes look like, there is an answer.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"", "a", "b", "c", "\x00", "é"})
		members := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) assign.Member {
			return assign.Member{ID: name.Draw(t, "id"), Zone: name.Draw(t, "zone"), Draining: rapid.Bool().Draw(t, "draining")}
		}), 0, 8).Draw(t, "members")
		previous := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) assign.Wish {
			return assign.Wish{Owner: name.Draw(t, "owner"), Zone: name.Draw(t, "zone")}
		}), 0, 8).Draw(t, "previous")
		partitions := rapid.IntRange(-1, 8).Draw(t, "partitions")
		wishes := assign.Wishes(members, previous, partitions)
		if len(wishes) != max(partitions, 0) {
			t.Fatalf("%d wishes for %d partitions", len(wishes), partitions)
		}
		stays := func(m assign.Member) bool {
			return m.ID != "" && !slices.ContainsFunc(members, func(o assign.Member) bool { return o.ID == m.ID && o.Draining })
		}
		for _, w := range wishes {
			isOwner := func(m assign.Member) bool { return m.ID == w.Owner && m.Zone == w.Zone }
			if w.Owner != "" && !slices.ContainsFunc(members, isOwner) {
				t.Fatalf("%v is no member", w)
			}
			if w.Owner == "" && slices.ContainsFunc(members, stays) {
				t.Fatalf("no owner: %v", wishes)
			}
		}
	})
}

// TestWishAsJSON pins what the coordinator writes for receivers of other versions to read.
func TestWishAsJSON(t *testing.T) {
	got, err := json.Marshal([]assign.Wish{{Owner: "a", Zone: "north"}, {Owner: "b"}, {}})
	if want := `[{"owner":"a","zone":"north"},{"owner":"b"},{"owner":""}]`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// checkNobodyStays: who is there keeps what it owns, the rest has no owner, and every partition remembers its zone.
func checkNobodyStays(t rapid.TB, f fleet, wishes []assign.Wish) {
	t.Helper()
	for p, w := range wishes {
		want := assign.Wish{Owner: f.before(p).Owner, Zone: f.home(p)}
		if !f.has(want.Owner) {
			want.Owner = ""
		}
		if w != want {
			t.Fatalf("partition %d: got %v, want %v", p, w, want)
		}
	}
}

func checkOwners(t rapid.TB, f fleet, wishes []assign.Wish) {
	t.Helper()
	for p, w := range wishes {
		if !slices.Contains(f.able(), assign.Member{ID: w.Owner, Zone: w.Zone}) {
			t.Fatalf("partition %d: %v is not a member that stays", p, w)
		}
	}
}

func checkBalance(t rapid.TB, f fleet, wishes []assign.Wish) {
	t.Helper()
	owned := count(wishes)
	for _, m := range f.able() {
		if smaller := f.partitions / len(f.able()); owned[m.ID] != smaller && owned[m.ID] != smaller+1 {
			t.Fatalf("%s owns %d of %d partitions among %d", m.ID, owned[m.ID], f.partitions, len(f.able()))
		}
	}
}

// checkEvenness: no larger share could be in a zone with at least two fewer of them, were it not for a partition that would move then.
func checkEvenness(t rapid.TB, f fleet, wishes []assign.Wish) {
	t.Helper()
	smaller := f.partitions / len(f.able())
	before, owned := f.owned(), count(wishes)
	larger := map[string]int{}
	for _, m := range f.able() {
		larger[m.Zone] += owned[m.ID] - smaller
	}
	for _, has := range f.able() {
		for _, lacks := range f.able() {
			if owned[has.ID] > smaller && owned[lacks.ID] == smaller &&
				(before[has.ID] > smaller) == (before[lacks.ID] > smaller) && larger[has.Zone] >= larger[lacks.Zone]+2 {
				t.Fatalf("%v should have the larger share of %v: %v", lacks, has, larger)
			}
		}
	}
}

// checkAffinity: where a partition left its zone, those that stayed fill all places there.
func checkAffinity(t rapid.TB, f fleet, wishes []assign.Wish) {
	t.Helper()
	left, came := map[string]int{}, map[string]int{}
	for p, w := range wishes {
		if f.home(p) != w.Zone {
			left[f.home(p)]++
			came[w.Zone]++
		}
	}
	delete(left, "")
	for zone := range left {
		if came[zone] > 0 {
			t.Fatalf("%d partitions left zone %s and %d came: %v", left[zone], zone, came[zone], wishes)
		}
	}
}
