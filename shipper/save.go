package shipper

import (
	"context"
)

// offerSnapshot hands the changed positions to the saver, unless it is still busy with the last ones: then they wait for the next time.
func (st *stretch) offerSnapshot() {
	if st.saving.Load() {
		return
	}
	changed := st.tailer.Known()
	if len(changed) == 0 {
		return
	}
	st.saving.Store(true)
	st.save <- snapshot{st.chain, changed}
}

// saver writes checkpoints beside the shipping, since each waits for the disk.
func (st *stretch) saver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-st.save:
			err := st.store.Save(s.chain, s.changed, nil)
			st.state.saved(err)
			if err != nil {
				st.cfg.Logger.Warn("checkpoint not saved; shipping goes on, positions come from the hub", "err", err)
			}
			st.saving.Store(false)
		}
	}
}

// saveNow writes the last checkpoint of a stretch, when its goroutines have ended.
func (st *stretch) saveNow() error {
	return st.store.Save(st.chain, st.tailer.Known(), nil)
}
