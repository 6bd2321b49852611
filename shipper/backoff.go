package shipper

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff pauses between tries: twice as long each time, with jitter, so that a thousand agents do not return to a hub at one moment.
type backoff struct{ next, most time.Duration }

func newBackoff(least, most time.Duration) *backoff { return &backoff{least, most} }

// sleep pauses once, or returns the context's error.
func (b *backoff) sleep(ctx context.Context) error {
	pause := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, b.most)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
