package receiver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/receiver/archive"
)

// Receiver archives the partitions it owns.
type Receiver struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	archive *archive.Archive
	cfg     Config
	metrics *metrics
	session atomic.Pointer[session] // nil until the hub is reached
}

// New joins a connection to the hub's account for receivers with an archive. Both belong to the Receiver until Run returns.
func New(nc *nats.Conn, a *archive.Archive, cfg Config) (*Receiver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	m, err := newMetrics(cfg.Metrics, a)
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	return &Receiver{nc: nc, js: js, archive: a, cfg: cfg, metrics: m}, nil
}

// Run archives until ctx ends; what was appended by then is committed, and the partitions released, before it returns. Faults of the hub, the network and the
// disk it waits out; it returns an error only for what an operator must mend.
func (r *Receiver) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error { return r.archive.Janitor(ctx) })
	group.Go(func() error {
		defer end()
		for {
			if err := r.archiveLayout(ctx); !errors.Is(err, errLayout) {
				return err
			}
			r.cfg.Logger.Info("the hub divides its hosts anew")
		}
	})
	return group.Wait()
}

// archiveLayout archives the partitions of the hub's layout until that changes.
func (r *Receiver) archiveLayout(ctx context.Context) error {
	s, err := r.join(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	r.session.Store(s)
	return s.run(ctx)
}

// join waits for the hub, and learns its layout.
func (r *Receiver) join(ctx context.Context) (*session, error) {
	wait := backoff{r.cfg.RetryMin, r.cfg.RetryMax}
	for {
		s, err := newSession(ctx, r)
		if err == nil || errors.Is(err, ErrTwin) {
			return s, err
		}
		r.cfg.Logger.Warn("cannot join the hub; trying again", "err", err)
		if err := wait.sleep(ctx); err != nil {
			return nil, err
		}
	}
}
