package assign

import (
	"cmp"
	"slices"
)

// Member is a receiver that is there to own partitions. Of members with the same ID one counts, and it is draining if any of them is; a
// member without an ID is none.
type Member struct {
	ID       string
	Zone     string // where it runs; "" = none named
	Draining bool   // it leaves: another should own what it owns
}

// Wish is who should own a partition.
type Wish struct {
	Owner string `json:"owner"`          // a Member's ID; "" = nobody is there to own it
	Zone  string `json:"zone,omitempty"` // the owner's when it was wished for; without an owner, that of the last one
}

// rounds are who may offer a partition a place, best first: its owner, its owner's zone, anyone.
var rounds = []func(Wish, *share) bool{
	func(was Wish, s *share) bool { return was.Owner == s.ID },
	func(was Wish, s *share) bool { return was.Zone == s.Zone },
	func(Wish, *share) bool { return true },
}

// Wishes returns the wish for each of the partitions. The previous ones may be more or fewer: those of partitions that are no more are
// forgotten, and a partition without one has had no owner.
func Wishes(members []Member, previous []Wish, partitions int) []Wish {
	members = inOrder(members)
	was := carryOver(members, previous, partitions)
	shares := divide(members, was)
	if len(shares) == 0 {
		return was
	}
	wishes := make([]Wish, len(was))
	for _, mayOffer := range rounds {
		for p := range wishes {
			if wishes[p].Owner == "" {
				wishes[p] = place(was[p], shares, mayOffer)
			}
		}
	}
	return wishes
}

// inOrder makes the answer independent of how the members were listed: sorted, each ID once.
func inOrder(members []Member) []Member {
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.ID == "" })
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), trueFirst(a.Draining, b.Draining), cmp.Compare(a.Zone, b.Zone))
	})
	return slices.CompactFunc(members, func(a, b Member) bool { return a.ID == b.ID })
}

// carryOver is what stands before anything moves: each partition with its owner if that is there, draining or not, and with the zone of
// its last owner in any case.
func carryOver(members []Member, previous []Wish, partitions int) []Wish {
	zones := make(map[string]string, len(members))
	for _, m := range members {
		zones[m.ID] = m.Zone
	}
	was := make([]Wish, max(partitions, 0))
	copy(was, previous)
	for p, w := range was {
		if zone, there := zones[w.Owner]; there {
			was[p].Zone = zone
		} else {
			was[p].Owner = ""
		}
	}
	return was
}

// place takes a place from the first share that has one left and may offer it; an empty wish says that there is none.
func place(was Wish, shares []*share, mayOffer func(Wish, *share) bool) Wish {
	for _, s := range shares {
		if s.places > 0 && mayOffer(was, s) {
			s.places--
			return Wish{Owner: s.ID, Zone: s.Zone}
		}
	}
	return Wish{}
}
