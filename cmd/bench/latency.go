package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

// latencies is a set of them, sorted.
type latencies []time.Duration

// visibleLatencies of the lines that were written in the interval.
func visibleLatencies(all []*follower, from, to time.Time) latencies {
	var out latencies
	for _, f := range all {
		for _, s := range within(f.sightings, from, to) {
			out = append(out, time.Duration(s.seen-s.stamped))
		}
	}
	slices.Sort(out)
	return out
}

// durableLatencies of the lines of one source: a line is durable once the floor has reached the batch that holds its end.
func durableLatencies(sightings []sighting, ends []fleet.End, floors []fleet.Moved, from, to time.Time) (latencies, error) {
	var out latencies
	for _, s := range within(sightings, from, to) {
		e, _ := slices.BinarySearchFunc(ends, s.end, func(e fleet.End, end int64) int { return cmp.Compare(e.Offset, end) })
		if e == len(ends) {
			return nil, fmt.Errorf("no batch holds byte %d", s.end)
		}
		m, _ := slices.BinarySearchFunc(floors, ends[e].Sequence, func(m fleet.Moved, q uint64) int { return cmp.Compare(m.Floor, q) })
		if m == len(floors) {
			return nil, fmt.Errorf("the floor was never seen to reach %d", ends[e].Sequence)
		}
		out = append(out, time.Duration(floors[m].At.UnixNano()-s.stamped))
	}
	slices.Sort(out)
	return out, nil
}

// within keeps what was written in the interval; sightings are in the order of writing.
func within(all []sighting, from, to time.Time) []sighting {
	byStamp := func(s sighting, t int64) int { return cmp.Compare(s.stamped, t) }
	i, _ := slices.BinarySearchFunc(all, from.UnixNano(), byStamp)
	j, _ := slices.BinarySearchFunc(all, to.UnixNano(), byStamp)
	return all[i:max(i, j)]
}

// share is the latency that the given part of all does not exceed; 0 if there are none.
func (l latencies) share(part float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(len(l)-1, int(part*float64(len(l))))]
}

// String is p50, p99 and the longest, in milliseconds.
func (l latencies) String() string {
	return fmt.Sprintf("%s / %s / %s", ms(l.share(0.5)), ms(l.share(0.99)), ms(l.share(1)))
}

// span is p50 and the longest, in milliseconds, for sets too small to tell more.
func (l latencies) span() string {
	if len(l) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f / %.0f", milliseconds(l.share(0.5)), milliseconds(l.share(1)))
}

// seconds is p50 and the longest.
func (l latencies) seconds() string {
	if len(l) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f / %.2f", l.share(0.5).Seconds(), l.share(1).Seconds())
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", milliseconds(d)) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
