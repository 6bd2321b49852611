package handover

import (
	"cmp"
	"fmt"
	"slices"
)

// Held says that an archive has committed the messages (After, To] under Epoch.
type Held struct {
	Epoch     uint64
	After, To uint64
}

// Range is the messages (After, To] of one epoch.
type Range struct {
	Epoch     uint64
	After, To uint64
}

// Plan is what an archive must do before it may serve its partition.
type Plan struct {
	SetAside  []Range // committed here, but a later epoch archived it again: move it away. Newest epoch first.
	ReadAgain []Range // ours by the record, but absent here: the archive was restored from an old copy. Oldest epoch first.
	Next      uint64  // where reading goes on after that; only an owner may do so
}

// Reconcile compares the record with what the archive holds of its stream: what was committed under epoch e at sequence s is kept if and only if no
// later epoch began below s (rule R4), and what the archive should hold by the record but does not is read again (rule R8). The caller has
// checked that held is of the record's stream and creation time. An error means that record and archive do not belong together:
// nothing may be set aside or read then, an operator decides.
func Reconcile(r Record, archive string, held []Held) (Plan, error) {
	have := map[uint64]uint64{} // by epoch: the end of what is kept
	var plan Plan
	for _, h := range held {
		if err := r.belongs(archive, h); err != nil {
			return Plan{}, err
		}
		if _, twice := have[h.Epoch]; twice {
			return Plan{}, fmt.Errorf("reconcile %s: archive %s holds epoch %d twice", r.Stream, archive, h.Epoch)
		}
		have[h.Epoch] = min(h.To, r.Bound(h.Epoch))
		if h.To > have[h.Epoch] {
			plan.SetAside = append(plan.SetAside, Range{Epoch: h.Epoch, After: have[h.Epoch], To: h.To})
		}
	}
	slices.SortFunc(plan.SetAside, func(a, b Range) int { return cmp.Compare(b.Epoch, a.Epoch) })
	plan.ReadAgain = r.absent(archive, have)
	plan.Next = 1 + max(r.Floor, have[r.Epoch])
	return plan, nil
}

// belongs complains about a range that the history cannot explain.
func (r Record) belongs(archive string, h Held) error {
	e, known := r.tenure(h.Epoch)
	switch {
	case !known:
		return fmt.Errorf("reconcile %s: archive %s holds epoch %d, the record has no such epoch (it is at %d): one of them was restored from another time or hub",
			r.Stream, archive, h.Epoch, r.Epoch)
	case e.Owner != archive:
		return fmt.Errorf("reconcile %s: archive %s holds epoch %d, which the record gives to %s", r.Stream, archive, h.Epoch, e.Owner)
	case h.After != e.Start || h.To < h.After:
		return fmt.Errorf("reconcile %s: archive %s holds epoch %d from %d to %d, the record says it began at %d", r.Stream, archive, h.Epoch, h.After, h.To, e.Start)
	}
	return nil
}

// absent is what this archive should have and does not.
func (r Record) absent(archive string, have map[uint64]uint64) []Range {
	var ranges []Range
	for _, e := range r.Epochs {
		if e.Owner != archive {
			continue
		}
		after, to := max(e.Start, have[e.Epoch]), min(r.Bound(e.Epoch), r.Floor)
		if after < to {
			ranges = append(ranges, Range{Epoch: e.Epoch, After: after, To: to})
		}
	}
	return ranges
}
