package shipper

import (
	"context"

	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// snapshot is one checkpoint to be saved.
type snapshot struct {
	chain   checkpoint.Chain
	changed []tail.Generation
	gone    []tail.Finished
}

// offerSnapshot hands the changed positions to the saver, unless it is still busy with the last ones: then they wait for the next time.
func (st *stretch) offerSnapshot() {
	if st.saving.Load() {
		return
	}
	if s, any := st.snapshot(); any {
		st.saving.Store(true)
		st.save <- s
	}
}

// saver writes checkpoints beside the shipping, since each waits for the disk.
func (st *stretch) saver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-st.save:
			st.write(s)
			st.saving.Store(false)
		}
	}
}

// saveLast writes what is left when the goroutines of a stretch have ended.
func (st *stretch) saveLast() {
	select {
	case s := <-st.save:
		st.write(s)
	default:
	}
	st.saving.Store(false)
	if s, any := st.snapshot(); any {
		st.write(s)
	}
}

// snapshot takes what has changed since the last one.
func (st *stretch) snapshot() (s snapshot, any bool) {
	s = st.unsaved
	st.unsaved = snapshot{}
	s.chain = st.chain
	s.changed = append(s.changed, st.tailer.Known()...)
	s.gone = append(s.gone, st.tailer.Departed()...)
	return s, len(s.changed)+len(s.gone) > 0
}

// write saves a checkpoint. Without it shipping goes on: the hub knows the positions.
func (st *stretch) write(s snapshot) {
	err := st.store.Save(s.chain, s.changed, s.gone...)
	st.state.saved(err)
	if err != nil {
		st.cfg.Logger.Warn("checkpoint not saved; shipping goes on, positions come from the hub", "err", err)
	}
	st.tellShipped(s.changed)
}

// tellShipped tells what has ended and is acknowledged to its end. Should the agent be killed before, the positions of the next hello tell it again.
func (s *Shipper) tellShipped(known []tail.Generation) {
	if s.cfg.Shipped == nil {
		return
	}
	for _, g := range known {
		if shippedWhole(g) {
			s.cfg.Shipped(g)
		}
	}
}
