package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// place is the key that is competed for. Its methods are all that is ever asked of the hub, apart from watching and creating.
type place struct {
	kv  jetstream.KeyValue
	key string
	cfg Config
	log *slog.Logger
}

// renewal is how one attempt to renew went.
type renewal struct {
	revision uint64    // of the key, to renew from next
	sent     time.Time // before the hub began the lease anew; zero: it is not known to have done so
	err      error     // ErrDeposed: the lease is gone. Any other: the outcome is unknown.
}

// renew tries once to begin the lease of c anew, whose key was at revision.
func (p *place) renew(ctx context.Context, c claim, revision uint64) renewal {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.attemptTimeout())
	defer cancel()
	sent := time.Now() // not later: the hub's TTL starts when it stores the value, and the answer may take any time
	next, err := p.kv.Update(ctx, p.key, c.value(), revision)
	if err == nil {
		return renewal{revision: next, sent: sent}
	}
	if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return renewal{revision: revision, err: err}
	}
	s, err := p.reread(ctx, c, revision)
	return renewal{revision: max(s.revision, revision), err: err}
}

// reread finds the revision to go on from after a write was refused: an earlier one, given up as unanswered, may have landed. It does not prolong the
// lease, since when that write was stored is not known. A replica that lags behind may answer; what it shows of before revision decides nothing.
func (p *place) reread(ctx context.Context, c claim, revision uint64) (sight, error) {
	entry, err := p.kv.Get(ctx, p.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return sight{}, fmt.Errorf("%w: key %s is gone", ErrDeposed, p.key)
	}
	if err != nil {
		return sight{}, err
	}
	s := sightOf(entry)
	switch {
	case c.covers(s.claim):
		return s, nil
	case s.revision < revision:
		return sight{}, fmt.Errorf("read key %s: revision %d is older than %d", p.key, s.revision, revision)
	default:
		return sight{}, fmt.Errorf("%w by %q", ErrDeposed, s.claim.ID)
	}
}

// release deletes the key if it is still the lease's, so that a successor need not wait for the TTL.
func (p *place) release(ctx context.Context, l *lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.attemptTimeout())
	defer cancel()
	err := p.remove(ctx, l)
	for errors.Is(err, jetstream.ErrKeyRevisionMismatch) && ctx.Err() == nil { // an own renewal is still under way
		pause(ctx, p.cfg.retryAfter())
		err = p.remove(ctx, l)
	}
	if err != nil && !errors.Is(err, ErrDeposed) {
		p.log.Warn("lease is not given back, it ends with its TTL", "term", l.Term, "err", err)
	}
}

// remove deletes by revision, never without one: that would end the lease of a successor.
func (p *place) remove(ctx context.Context, l *lease) error {
	if l.revision != 0 {
		err := p.kv.Delete(ctx, p.key, jetstream.LastRevision(l.revision))
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
	}
	s, err := p.reread(ctx, l.claim, l.revision)
	if err != nil {
		return err
	}
	return p.kv.Delete(ctx, p.key, jetstream.LastRevision(s.revision))
}

// bucketTTL asks for the bucket's TTL until it is told, since the hub may be away. An error says that this will never do.
func (p *place) bucketTTL(ctx context.Context) (time.Duration, error) {
	for {
		ttl, err := p.askTTL(ctx)
		if err == nil || final(err) || ctx.Err() != nil {
			return ttl, err
		}
		p.log.Warn("bucket is not reached", "err", err)
		pause(ctx, p.cfg.attemptTimeout())
	}
}

func (p *place) askTTL(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.TTL)
	defer cancel()
	status, err := p.kv.Status(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for bucket %s: %w", p.kv.Bucket(), err)
	}
	return status.TTL(), nil
}

// checkKey says whether the client takes the key. It checks that before it asks the hub, which an ended ctx keeps it from.
func (p *place) checkKey() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.kv.Get(ended, p.key); errors.Is(err, jetstream.ErrInvalidKey) {
		return fmt.Errorf("key %q: %w", p.key, err)
	}
	return nil
}

// final says whether trying again is in vain.
func final(err error) bool { return errors.Is(err, nats.ErrConnectionClosed) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
