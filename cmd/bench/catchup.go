package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/lines"
)

const progressEvery = 5 * time.Millisecond

// caughtUp is one run of a catch-up: from the start of the agent until everything is durable in the archive.
type caughtUp struct {
	bytes    int64
	lines    uint64
	visible  time.Duration // until every byte could be read in the archive
	durable  time.Duration // until the partition's record covered it
	cost     []cost
	attempts int
}

func (b *benchmark) catchUp(format lines.Format, codec string, files int) scenario {
	name := fmt.Sprintf("catchup-%s-%s", format, codec)
	if files > 1 {
		name = fmt.Sprintf("catchup-%d-files-%s", files, codec)
	}
	return scenario{name, time.Duration(b.repeat) * b.limit, func(ctx context.Context, t *table) error {
		c, err := b.corpus(ctx, format, files)
		if err != nil {
			return err
		}
		var runs []caughtUp
		for range b.repeat {
			r, err := b.catchUpOnce(ctx, c, codec)
			if err != nil {
				return err
			}
			fmt.Fprintf(b.notes, "  durable after %s, visible after %s\n", r.durable.Round(time.Millisecond), r.visible.Round(time.Millisecond))
			runs = append(runs, r)
		}
		slices.SortFunc(runs, func(a, b caughtUp) int { return int(a.durable - b.durable) })
		median := runs[(len(runs)-1)/2]
		median.attempts = len(runs)
		t.catchUp(name, median)
		return nil
	}}
}

func (b *benchmark) catchUpOnce(ctx context.Context, c *corpus, codec string) (caughtUp, error) {
	r := caughtUp{bytes: c.bytes, lines: c.lines}
	f, clean, err := b.fleet(ctx, codec)
	if err != nil {
		return r, err
	}
	defer clean()
	w, err := f.Watch(ctx)
	if err != nil {
		return r, err
	}
	defer w.Close()
	before := meter(f)
	begun := time.Now()
	if err := f.StartAgent(c.dir); err != nil {
		return r, err
	}
	if err := waitVisible(ctx, f, c.bytes); err != nil {
		return r, err
	}
	r.visible = time.Since(begun)
	if err := waitDurable(ctx, f, w); err != nil {
		return r, err
	}
	r.durable = time.Since(begun)
	r.cost = costs(before, meter(f))
	if err := f.Stop(); err != nil {
		return r, err
	}
	return r, verify(f, c.wrote, c.dir)
}

// waitVisible waits until so many bytes can be read in the archive. More would be doubled ones.
func waitVisible(ctx context.Context, f *fleet.Fleet, want int64) error {
	for {
		got, err := f.Archived()
		if err != nil {
			return err
		}
		if got > want {
			return fmt.Errorf("%d bytes in the archive of %d written: %w", got, want, errFaults)
		}
		if got == want {
			return nil
		}
		if err := pause(ctx, f); err != nil {
			return fmt.Errorf("%d of %d bytes in the archive: %w", got, want, err)
		}
	}
}

// waitDurable waits until the record covers all that is stored.
func waitDurable(ctx context.Context, f *fleet.Fleet, w *fleet.Watch) error {
	for {
		last, err := w.Last(ctx)
		if err != nil {
			return err
		}
		floor, err := w.Floor(ctx)
		if err != nil {
			return err
		}
		if floor >= last {
			return nil
		}
		if err := pause(ctx, f); err != nil {
			return fmt.Errorf("floor %d of %d: %w", floor, last, err)
		}
	}
}

// pause lets some time go by, unless ctx has ended or a process of the fleet.
func pause(ctx context.Context, f *fleet.Fleet) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(progressEvery):
		return f.Alive()
	}
}
