package assign_test

import (
	"fmt"
	"testing"

	"github.com/logdrive/logdrive/receiver/assign"
)

// BenchmarkWishes answers for the largest fleet: 256 partitions, 100 members in 3 zones.
func BenchmarkWishes(b *testing.B) {
	members := make([]assign.Member, 100)
	for i := range members {
		members[i] = assign.Member{ID: fmt.Sprintf("%026d", i), Zone: fmt.Sprint("zone-", i%3)}
	}
	settled := assign.Wishes(members, nil, 256)
	for _, c := range []struct {
		name     string
		members  []assign.Member
		previous []assign.Wish
	}{
		{"first", members, nil},
		{"unchanged", members, settled},
		{"two thirds gone", members[:33], settled},
		{"two thirds join", members, assign.Wishes(members[:33], settled, 256)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				assign.Wishes(c.members, c.previous, 256)
			}
		})
	}
}
