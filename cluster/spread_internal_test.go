package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestNextMove(t *testing.T) {
	all := func(leader string) placement {
		p := placement{leader: leader}
		for _, n := range []string{"a", "b", "c"} {
			if n != leader {
				p.current = append(p.current, n)
			}
		}
		return p
	}
	for _, tc := range []struct {
		placed     map[string]placement
		stream, to string
	}{
		{map[string]placement{}, "", ""},
		{map[string]placement{"1": all("a")}, "", ""},
		{map[string]placement{"1": all("a"), "2": all("a")}, "1", "b"},
		{map[string]placement{"1": all("a"), "2": all("b")}, "", ""},
		{map[string]placement{"1": all("a"), "2": all("b"), "3": all("c"), "4": all("a")}, "", ""},
		{map[string]placement{"1": all("a"), "2": all("a"), "3": all("c"), "4": all("a")}, "1", "b"},
		{map[string]placement{"1": {leader: "a"}, "2": {leader: "a"}, "3": {leader: "a"}}, "", ""}, // nobody else has them
	} {
		if stream, to := nextMove(tc.placed); stream != tc.stream || to != tc.to {
			t.Errorf("%v: %s to %s, want %s to %s", tc.placed, stream, to, tc.stream, tc.to)
		}
	}
}

// Whatever the start, the moves end, and then no node leads two more than another.
func TestMovesEndInBalance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		nodes := 3 + r.IntN(3)
		placed := map[string]placement{}
		for s := range r.IntN(40) {
			order := r.Perm(nodes)
			p := placement{leader: fmt.Sprint(order[0])}
			for _, n := range order[1:] {
				p.current = append(p.current, fmt.Sprint(n))
			}
			placed[fmt.Sprint(s)] = p
		}
		for moves := 0; ; moves++ {
			stream, to := nextMove(placed)
			if stream == "" {
				break
			}
			if moves > len(placed) {
				t.Fatalf("more moves than streams: %v", placed)
			}
			p := placed[stream]
			for i, n := range p.current {
				if n == to {
					p.current[i] = p.leader
				}
			}
			p.leader = to
			placed[stream] = p
		}
		leads := map[string]int{}
		for n := range nodes {
			leads[fmt.Sprint(n)] = 0
		}
		for _, p := range placed {
			leads[p.leader]++
		}
		low, high := len(placed), 0
		for _, n := range leads {
			low, high = min(low, n), max(high, n)
		}
		if high-low > 1 {
			t.Fatalf("leaders %v", leads)
		}
	}
}
