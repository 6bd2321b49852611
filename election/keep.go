package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lead calls f for as long as the lease lasts, gives the lease back, and says whether to compete again.
func (c *candidate) lead(ctx context.Context, l *lease, f func(context.Context, uint64) error) (bool, error) {
	leading, end := context.WithCancelCause(ctx)
	defer end(ErrResigned)
	c.log.Info("leading", "id", l.ID, "term", l.Term)
	err := c.hold(leading, end, l, f)
	cause := context.Cause(leading)
	c.log.Info("leading no more", "id", l.ID, "term", l.Term, "cause", cause, "err", err)
	if !errors.Is(cause, ErrDeposed) {
		c.release(ctx, l)
	}
	if cause != nil && (errors.Is(err, context.Canceled) || errors.Is(err, cause)) {
		err = nil
	}
	if err != nil {
		return false, fmt.Errorf("lead %s: %w", c.key, err)
	}
	return cause != nil && ctx.Err() == nil, nil
}

// hold calls f and keeps the lease meanwhile, for as long as f takes even when ctx ended it: nobody shall begin before f is done.
func (c *candidate) hold(ctx context.Context, end context.CancelCauseFunc, l *lease, f func(context.Context, uint64) error) error {
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stop()
	term := l.Term
	keeper.Go(func() { c.keep(keeping, end, l) })
	return f(ctx, term)
}

// keep renews the lease, one attempt at a time, until ctx ends. When the lease is over it tells the leader by end, first of all. It owns l meanwhile.
//
// Every turn begins by looking at the clock: this process may have been stopped for any time, anywhere. Then no renewal is begun, and the answer to an old one counts
// from when it was sent.
func (c *candidate) keep(ctx context.Context, end context.CancelCauseFunc, l *lease) {
	ctx, cancel := context.WithCancel(ctx)
	var attempt sync.WaitGroup
	defer attempt.Wait()
	defer cancel()
	renewals := make(chan renewal, 1) // one attempt at a time, which must not wait for this loop when that has ended
	due, expiry := time.NewTimer(c.cfg.renewEvery()), time.NewTimer(time.Until(l.until))
	defer due.Stop()
	defer expiry.Stop()
	for {
		if !l.live() {
			end(ErrLost)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-expiry.C:
		case s := <-c.sights:
			if err := l.deposedBy(s); err != nil {
				end(err)
				return
			}
		case <-due.C:
			if l.live() {
				claim, revision := l.claim, l.revision
				attempt.Go(func() { renewals <- c.renew(ctx, claim, revision) })
			}
		case r := <-renewals:
			if errors.Is(r.err, ErrDeposed) {
				end(r.err)
				return
			}
			due.Reset(c.renewed(l, r))
			expiry.Reset(time.Until(l.until))
		}
	}
}

// renewed notes how an attempt went, and says how long to wait with the next.
func (c *candidate) renewed(l *lease, r renewal) time.Duration {
	before := l.revision
	l.revision = r.revision
	switch {
	case !r.sent.IsZero():
		l.until = r.sent.Add(c.cfg.leave())
		return max(0, c.cfg.renewEvery()-time.Since(r.sent))
	case r.revision != before: // an attempt given up had landed
		return 0
	default:
		c.log.Warn("lease is not renewed", "term", l.Term, "left", time.Until(l.until), "err", r.err)
		return c.cfg.retryAfter()
	}
}

// deposedBy says whether a sight ends the lease. What was there before the lease does not, nor does an absence that has no revision: it may be older.
func (l *lease) deposedBy(s sight) error {
	switch {
	case s.revision <= l.revision || s.held && l.covers(s.claim):
		return nil
	case s.held:
		return fmt.Errorf("%w by %q", ErrDeposed, s.claim.ID)
	default:
		return fmt.Errorf("%w: the key was deleted", ErrDeposed)
	}
}
