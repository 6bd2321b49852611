package handover

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Record says who owns a partition, since when, and up to where it is archived. It is written by compare-and-set only.
type Record struct {
	Stream   string    `json:"stream"`   // sequences mean something only within this stream,
	Created  time.Time `json:"created"`  // created at this time (rule H3)
	Epoch    uint64    `json:"epoch"`    // the current tenure; 0: nobody has owned the partition yet
	Owner    string    `json:"owner"`    // id of the archive that owns it
	Floor    uint64    `json:"floor"`    // archived and synced up to here; never goes back
	Released bool      `json:"released"` // the owner has left and will write nothing more under Epoch
	Epochs   []Epoch   `json:"epochs"`   // every tenure, ascending; never trimmed while an archive it names may return
}

// Epoch is one tenure of a partition.
type Epoch struct {
	Epoch uint64 `json:"epoch"`
	Owner string `json:"owner"` // id of an archive
	Start uint64 `json:"start"` // the floor when it began: the owner reads from Start+1
}

// TakeOver is the record that makes owner the owner, from the floor on.
func (r Record) TakeOver(owner string) Record {
	r.Epoch++
	r.Owner, r.Released = owner, false
	r.Epochs = append(slices.Clone(r.Epochs), Epoch{Epoch: r.Epoch, Owner: owner, Start: r.Floor})
	return r
}

// Advance is the record with a higher floor. A floor that went back would have bytes purged that nobody holds, so that is an error.
func (r Record) Advance(floor uint64) (Record, error) {
	switch {
	case r.Epoch == 0 || r.Released:
		return r, fmt.Errorf("advance floor of %s to %d: nobody owns it", r.Stream, floor)
	case floor < r.Floor:
		return r, fmt.Errorf("advance floor of %s to %d: it is at %d already", r.Stream, floor, r.Floor)
	}
	r.Floor = floor
	return r, nil
}

// Release is the record with the final floor of its epoch: one write, so that nobody can take over from a lower one (rule R6).
func (r Record) Release(floor uint64) (Record, error) {
	r, err := r.Advance(floor)
	if err != nil {
		return r, fmt.Errorf("release: %w", err)
	}
	r.Released = true
	return r, nil
}

// Resume is the record of an owner that goes on after its own release: nobody took over in between, so its epoch does not end. Restarts would otherwise
// make the history longer and longer.
func (r Record) Resume() Record {
	r.Released = false
	return r
}

// Bound is the highest sequence that counts when it was committed under epoch: the lowest start of any later epoch. The latest start alone would
// not do: an intermediate owner may have archived what lies between two starts.
func (r Record) Bound(epoch uint64) uint64 {
	bound := uint64(math.MaxUint64)
	for _, e := range r.Epochs {
		if e.Epoch > epoch {
			bound = min(bound, e.Start)
		}
	}
	return bound
}

// StartOf is where an epoch began; 0 if the history does not know it.
func (r Record) StartOf(epoch uint64) uint64 {
	e, _ := r.tenure(epoch)
	return e.Start
}

func (r Record) tenure(epoch uint64) (Epoch, bool) {
	for _, e := range r.Epochs {
		if e.Epoch == epoch {
			return e, true
		}
	}
	return Epoch{}, false
}
