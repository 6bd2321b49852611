package election

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// Why the ctx of a leader ended, as [context.Cause] tells it, if it was not the ctx of Run that ended.
var (
	// ErrLost says that the lease could not be renewed in time. Nobody else leads yet.
	ErrLost = errors.New("lease was lost")
	// ErrDeposed says that the key was deleted, purged or overwritten by someone else, or had ended at the hub. Somebody else may lead already.
	ErrDeposed = errors.New("leader was deposed")
	// ErrResigned says that lead has returned. Only what it left behind can see this.
	ErrResigned = errors.New("leader has resigned")
)

// Run competes for key until ctx ends, and calls lead whenever it has won, in this goroutine and never twice at a time. kv is a bucket with a TTL of
// cfg.TTL; lead gets the term: the revision that won, which grows with every leadership of the key and of the bucket's other keys.
//
// The ctx of lead ends before another process can win, by the local monotonic clock (see the package's guarantees); lead must then return at once. While lead
// runs, the lease is renewed, also after ctx has ended. When lead has returned, the lease is given back.
//
// What lead returns decides:
//   - its ctx had ended because the lease was lost, and lead returns nil, the ctx's error or its cause: compete again.
//   - ctx had ended, and lead returns nil or the ctx's error: Run returns nil.
//   - lead returns nil of itself: the duty is done, Run returns nil.
//   - any other error: Run returns it, wrapped.
//
// Run returns nil when ctx ends. Other errors: a faulty cfg or key, a bucket without TTL or with another, a connection that was closed. A hub or bucket that is
// away is none: Run waits for it.
func Run(ctx context.Context, kv jetstream.KeyValue, key string, cfg Config, lead func(ctx context.Context, term uint64) error) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("election config: %w", err)
	}
	log := cfg.Logger.With("component", "election", "bucket", kv.Bucket(), "key", key)
	c := &candidate{place: place{kv: kv, key: key, cfg: cfg, log: log}, sights: make(chan sight)}
	if err := c.checkKey(); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx)) // a leader that winds down wants to be told, too
	var watch sync.WaitGroup
	defer watch.Wait()
	defer stop()
	watch.Go(func() { c.follow(watching, c.sights) })
	return c.compete(ctx, lead)
}

// candidate competes, and leads when it has won.
type candidate struct {
	place
	sights chan sight // of the key, from follow
}

func (c *candidate) compete(ctx context.Context, lead func(context.Context, uint64) error) error {
	for {
		l, err := c.win(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("compete for %s: %w", c.key, err)
		}
		if again, err := c.lead(ctx, l, lead); !again {
			return err
		}
	}
}
