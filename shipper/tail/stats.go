package tail

import "time"

// Stats is how far the tailer is.
type Stats struct {
	Sources       int
	Open          int       // descriptors in use
	Refused       int       // sources that must not be begun
	Unreadable    int       // files that are there and cannot be opened, and sources whose directory cannot be read
	Behind        int64     // bytes that are not read or not acknowledged
	OldestPending time.Time // since when the oldest of them waits; zero: there are none
	Faults        []Fault
}

// Fault is a path that cannot be tailed now. It is tried again.
type Fault struct {
	Path  string
	Error string
}

// SourceStats is how far one source is.
type SourceStats struct {
	Source     string
	Generation uint64 // newest that was opened
	Behind     int64
	Pending    time.Time // since when its oldest byte waits; zero: none does
	Fault      string
}

// Stats looks at every source.
func (t *Tailer) Stats() Stats {
	st := Stats{Sources: len(t.list), Open: t.open, Refused: len(t.refused)}
	for _, s := range t.list {
		one := s.stats()
		st.Unreadable += s.unreadable()
		st.Behind += one.Behind
		if !one.Pending.IsZero() && (st.OldestPending.IsZero() || one.Pending.Before(st.OldestPending)) {
			st.OldestPending = one.Pending
		}
		if one.Fault != "" {
			st.Faults = append(st.Faults, Fault{s.path, one.Fault})
		}
	}
	return st
}

// SourceStats tells of each source, in the order in which they were found.
func (t *Tailer) SourceStats() []SourceStats {
	list := make([]SourceStats, 0, len(t.list))
	for _, s := range t.list {
		list = append(list, s.stats())
	}
	return list
}

func (s *source) unreadable() (n int) {
	for _, e := range s.locked {
		if !e.packed { // a packed one may be half made, or of a kind that nobody here reads
			n++
		}
	}
	if s.blind {
		n++
	}
	return n
}

func (s *source) stats() SourceStats {
	st := SourceStats{Source: s.path, Generation: s.highest, Fault: s.fault}
	for _, gens := range [...][]*generation{s.queue, s.late} {
		for _, g := range gens {
			st.Behind += max(0, g.size-g.acked)
			if !g.behind.IsZero() && (st.Pending.IsZero() || g.behind.Before(st.Pending)) {
				st.Pending = g.behind
			}
		}
	}
	return st
}
