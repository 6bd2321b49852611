package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Leader is who holds the lease. The zero Leader is nobody.
type Leader struct {
	ID   string // as its Config said
	Term uint64 // the fencing number of this leadership
}

func (s sight) leader() Leader { return Leader{ID: s.claim.ID, Term: s.claim.Term} }

// Current asks who leads. It is the zero Leader when nobody does, or when the key holds what no candidate wrote. Who is told may be
// deposed by then: to act on it, write with its term.
func Current(ctx context.Context, kv jetstream.KeyValue, key string) (Leader, error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Leader{}, nil
	}
	if err != nil {
		return Leader{}, fmt.Errorf("read leader %s: %w", key, err)
	}
	return sightOf(entry).leader(), nil
}

// Observe calls see, in this goroutine, with who leads now and then with every change, until ctx ends; then it returns nil. It sees the zero Leader when the
// lease was given back, and when nothing was heard of its holder for one and a half TTL, for it has ended or this process is cut off. Short leaderships
// may be passed over.
//
// Errors: a faulty key, a bucket without TTL, a connection that was closed. A hub or bucket that is away is none.
func Observe(ctx context.Context, kv jetstream.KeyValue, key string, see func(Leader)) error {
	cfg := DefaultConfig()
	p := place{kv: kv, key: key, cfg: cfg, log: cfg.Logger}
	if err := p.checkKey(); err != nil {
		return err
	}
	ttl, err := p.bucketTTL(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("observe %s: %w", key, err)
	case ttl < minTTL:
		return fmt.Errorf("observe %s: bucket %s has a TTL of %v", key, kv.Bucket(), ttl)
	}
	p.cfg.TTL = ttl
	sights := make(chan sight)
	following, stop := context.WithCancel(ctx)
	var follow sync.WaitGroup
	defer follow.Wait()
	defer stop()
	follow.Go(func() { p.follow(following, sights) })
	p.observe(ctx, sights, see)
	return nil
}

func (p *place) observe(ctx context.Context, sights <-chan sight, see func(Leader)) {
	patience := p.cfg.TTL + p.cfg.TTL/2
	var last sight
	leader, known := Leader{}, false
	tell := func(l Leader) {
		if !known || l != leader {
			leader, known = l, true
			see(l)
		}
	}
	silence := time.NewTimer(patience)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-silence.C:
			tell(Leader{})
		case s := <-sights:
			if s.held && s.revision <= last.revision {
				continue
			}
			last = s
			silence.Reset(max(0, patience-time.Since(s.at)))
			tell(s.leader())
		}
	}
}
