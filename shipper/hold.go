package shipper

import (
	"context"
	"fmt"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// holdInterval is how often an agent that holds files asks what is archived.
const holdInterval = 15 * time.Second

// holds remembers, by generation, the batch that holds its last bytes: when the archive has that one, the agent need not hold the file any more.
type holds map[place]mark

type mark struct {
	sequence uint64
	offset   int64
}

// newHolds begins with everything that came to the chain, as of its head.
func newHolds(head uint64, positions []tail.Generation) holds {
	h := holds{}
	for _, g := range positions {
		if !g.Unopened {
			h[place{g.Source, g.Number}] = mark{head, g.Offset}
		}
	}
	return h
}

func (h holds) note(b *tail.Batch, sequence uint64) {
	for _, c := range b.Chunks {
		h[place{c.Source, c.Generation}] = mark{sequence, c.Offset + c.Length}
	}
}

// release tells the tailer what is archived up to the given sequence.
func (h holds) release(archived uint64, t *tail.Tailer) {
	for at, m := range h {
		if m.sequence <= archived {
			t.Archived(at.source, at.number, m.offset)
			delete(h, at)
		}
	}
}

// askArchived asks the hub, from time to time, up to where the chain is archived. after must be the head, or the answer carries a whole table for nothing. A
// chain that goes on in another stream has other sequences: hello is said again, or the files would be held until there is something to publish.
func (st *stretch) askArchived(ctx context.Context) error {
	tick := time.NewTicker(holdInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		w, err := st.ask(ctx, st.head.Load(), "", st.cfg.MaxAckTimeout)
		if err != nil {
			st.cfg.Logger.Debug("hub does not say what is archived; files stay held", "err", err)
			continue
		}
		if w.Stream != st.chain.Stream {
			return fmt.Errorf("%w: from %s to %s", errRewind, st.chain.Stream, w.Stream)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case st.archived <- w.Archived:
		}
	}
}
