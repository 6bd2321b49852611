package election

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// win blocks until the lease is ours or ctx ends. An error says that this cannot happen.
//
// It tries at once, then whenever the key was deleted, and a TTL after the key was last seen to change: by the local clock, since the hub tells
// nobody that a key has ended. A wrong guess costs one refused write.
func (c *candidate) win(ctx context.Context) (*lease, error) {
	if err := c.checkTTL(ctx); err != nil {
		return nil, err
	}
	b := bid{place: &c.place, lease: newLease(c.cfg.ID)}
	var seen uint64
	try := time.NewTimer(0)
	defer try.Stop()
	for {
		select {
		case <-ctx.Done():
			b.withdraw(ctx)
			return nil, ctx.Err()
		case s := <-c.sights:
			if s.revision == 0 || s.revision != seen {
				seen = s.revision
				try.Reset(b.due(s))
			}
		case <-try.C:
			if won, err := b.try(ctx); won || final(err) {
				return b.lease, err
			}
			try.Reset(c.cfg.TTL/16 + rand.N(c.cfg.TTL/16))
		}
	}
}

func (c *candidate) checkTTL(ctx context.Context) error {
	ttl, err := c.bucketTTL(ctx)
	if err == nil && ttl != c.cfg.TTL {
		err = fmt.Errorf("bucket %s has a TTL of %v, not of %v", c.kv.Bucket(), ttl, c.cfg.TTL)
	}
	return err
}

// bid is a candidate's attempt at one lease.
type bid struct {
	*place
	lease   *lease
	unknown bool // a write of ours may have landed unanswered, or may still
}

// due is how long to wait with the next try after a sight: not at all if the key is free, or ours by a win that was never answered.
func (b *bid) due(s sight) time.Duration {
	if !s.held || s.claim.Session == b.lease.Session {
		return 0
	}
	return max(0, b.cfg.TTL-time.Since(s.at))
}

// try bids once. It does not win by a lease that has no time left.
func (b *bid) try(ctx context.Context) (bool, error) {
	err := b.create(ctx)
	if errors.Is(err, jetstream.ErrKeyExists) && b.unknown {
		err = b.recognize(ctx)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, ErrDeposed) {
		return false, nil
	}
	if err == nil && b.lease.live() {
		return true, nil
	}
	if !b.unknown {
		b.log.Warn("whether the lease was won is unknown", "err", err)
	}
	b.unknown = true
	return false, err
}

func (b *bid) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.attemptTimeout())
	defer cancel()
	b.lease.Term, b.lease.revision = 0, 0
	sent := time.Now()
	revision, err := b.kv.Create(ctx, b.key, b.lease.value())
	if err == nil {
		b.lease.Term, b.lease.revision, b.lease.until = revision, revision, sent.Add(b.cfg.leave())
	}
	return err
}

// recognize looks whether the key is ours by an earlier write, and if so renews it: when that one was stored is not known.
func (b *bid) recognize(ctx context.Context) error {
	look, cancel := context.WithTimeout(ctx, b.cfg.attemptTimeout())
	defer cancel()
	s, err := b.reread(look, b.lease.claim, 0)
	if err != nil {
		return err
	}
	b.lease.Term = s.claim.Term
	r := b.renew(ctx, b.lease.claim, s.revision)
	b.lease.revision = r.revision
	if !r.sent.IsZero() {
		b.lease.until = r.sent.Add(b.cfg.leave())
	}
	return r.err
}

// withdraw takes back what may have landed unanswered: nobody would lead until its TTL has passed.
func (b *bid) withdraw(ctx context.Context) {
	if b.unknown {
		b.release(ctx, b.lease)
	}
}
