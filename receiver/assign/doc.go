// Package assign says which receiver should own which partition.
//
// The walk of a partition: the coordinator calls Wishes with the members that are there and with its previous wishes (assign.go). Every
// member that stays gets a number of places, its share (share.go). The partition takes a place with its owner if there is one, else a place
// in its owner's zone, else any. Whoever is wished for takes the partition over when the record lets it; a wish alone moves nothing.
//
// Guarantees, each before the next:
//
//  1. Every partition has an owner if a member stays. If all are leaving, they keep what they have: better an owner that leaves than none.
//  2. Members that stay own the same number of partitions, or one more or less; members that leave own none.
//  3. The fewest partitions change their owner.
//  4. The larger shares, when partitions do not divide by members, are spread evenly over the zones.
//  5. The most of the partitions that do change their owner stay in its zone.
//
// Wishes is pure and total: it changes no argument, the order of the members does not matter, and asked again with its own answer it
// answers the same. Not guaranteed: that a partition returns to a member that left and came back, or that zones own equally much when
// their numbers of members differ. Wishes may be called by many goroutines at once.
//
//	wishes = assign.Wishes([]assign.Member{
//		{ID: "a", Zone: "west"}, {ID: "b", Zone: "west", Draining: true}, {ID: "c", Zone: "east"},
//	}, wishes, 64)
package assign
