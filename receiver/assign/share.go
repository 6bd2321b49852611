package assign

import (
	"cmp"
	"slices"
)

// share is how many partitions a member can own.
type share struct {
	Member
	zone   *zone
	owned  int // before anything moves
	places int
}

// zone is what the shares of one zone have in common. Members that name none are together in one.
type zone struct {
	larger int // shares in it that are larger by one
	spare  int // places in its shares, were none larger, minus the partitions whose owner is or was in it; below 0, some of these cannot stay
}

// divide makes the shares of the members that stay: the partitions divided by them, and what remains as one more place for some. Together
// they have exactly as many places as there are partitions.
func divide(members []Member, was []Wish) []*share {
	members = slices.DeleteFunc(members, func(m Member) bool { return m.Draining })
	if len(members) == 0 {
		return nil
	}
	smaller, larger := len(was)/len(members), len(was)%len(members)
	shares := equal(members, was, smaller)
	for range larger {
		s := slices.MinFunc(shares, func(a, b *share) int {
			return cmp.Or(
				cmp.Compare(a.places, b.places),                 // whose share is not larger yet
				trueFirst(a.owned > smaller, b.owned > smaller), // who would lose a partition otherwise
				cmp.Compare(a.zone.larger, b.zone.larger),       // whose zone has the fewest of the larger shares
				cmp.Compare(a.zone.spare, b.zone.spare),         // whose zone lacks places the most
			)
		})
		s.places++
		s.zone.larger++
	}
	return shares
}

// equal makes shares of the same number of places.
func equal(members []Member, was []Wish, places int) []*share {
	owned, home := map[string]int{}, map[string]int{}
	for _, w := range was {
		owned[w.Owner]++
		home[w.Zone]++
	}
	delete(home, "") // where no zone was named, there is none to stay in
	zones := map[string]*zone{}
	shares := make([]*share, len(members))
	for i, m := range members {
		if zones[m.Zone] == nil {
			zones[m.Zone] = &zone{spare: -home[m.Zone]}
		}
		shares[i] = &share{Member: m, zone: zones[m.Zone], owned: owned[m.ID], places: places}
		shares[i].zone.spare += places
	}
	return shares
}

// trueFirst compares a and b so that what is true sorts first.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}
