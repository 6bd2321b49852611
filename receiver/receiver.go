package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/election"
	"github.com/logdrive/logdrive/receiver/archive"
)

// Receiver archives the partitions it owns.
type Receiver struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	archive *archive.Archive
	cfg     Config
	metrics *metrics

	// What follows is set by Run before the partitions start, and not changed by them.
	bucket     jetstream.KeyValue
	layout     wire.Layout
	leases     jetstream.KeyValue
	lease      time.Duration
	membership *membership
	roster     *roster
	wishes     *wishes
	healths    []*health
	joined     chan struct{} // closed when the above is set
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
	return &Receiver{nc: nc, js: js, archive: a, cfg: cfg, metrics: m, joined: make(chan struct{})}, nil
}

// Run archives until ctx ends; what was appended by then is committed before it returns. Faults of the hub, the network and the disk it waits out; it
// returns an error only for what an operator must mend.
func (r *Receiver) Run(ctx context.Context) error {
	if err := r.join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	// The member key outlives the partitions: while they commit for the last time, nobody should take over.
	membership, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.membership.run(membership) })
	group.Go(func() error { return r.roster.run(ctx) })
	group.Go(func() error { return r.wishes.run(ctx) })
	group.Go(func() error { return r.campaign(ctx) })
	group.Go(func() error { return r.archive.Janitor(ctx) })
	group.Go(func() error {
		defer leave()
		return r.ownAll(ctx)
	})
	return group.Wait()
}

// campaign stands for coordinator until ctx ends.
func (r *Receiver) campaign(ctx context.Context) error {
	cfg := election.Config{ID: r.archive.ID(), TTL: r.lease, Logger: r.cfg.Logger}
	return election.Run(ctx, r.leases, coordinatorKey, cfg, r.coordinate)
}

// ownAll works on every partition. Each waits out its own faults, so that one that is stuck does not stop the others.
func (r *Receiver) ownAll(ctx context.Context) error {
	var group errgroup.Group
	for p := range r.layout.Partitions {
		group.Go(func() error {
			r.keepOwning(ctx, p, r.healths[p])
			return nil
		})
	}
	return group.Wait()
}

func (r *Receiver) keepOwning(ctx context.Context, p int, h *health) {
	wait := backoff{r.cfg.RetryMin, r.cfg.RetryMax}
	for ctx.Err() == nil {
		start := time.Now()
		err := r.own(ctx, p, h)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			if !errors.Is(err, context.Canceled) {
				r.cfg.Logger.Warn("last commit of the partition is not complete; it is read again at the next start", "partition", p, "err", err)
			}
			return
		}
		if time.Since(start) > r.cfg.RetryMax {
			wait.next = r.cfg.RetryMin
		}
		h.fault(fmt.Errorf("partition %d: %w", p, err))
		r.cfg.Logger.Warn("partition stopped; trying again", "partition", p, "err", err)
		_ = wait.sleep(ctx)
	}
}

// join waits for the hub, and learns its layout.
func (r *Receiver) join(ctx context.Context) error {
	wait := backoff{r.cfg.RetryMin, r.cfg.RetryMax}
	for {
		err := r.tryJoin(ctx)
		if err == nil || errors.Is(err, ErrTwin) {
			return err
		}
		r.cfg.Logger.Warn("cannot join the hub; trying again", "err", err)
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

func (r *Receiver) tryJoin(ctx context.Context) (err error) {
	if r.bucket, err = r.js.KeyValue(ctx, wire.Bucket); err != nil {
		return fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	entry, err := r.bucket.Get(ctx, wire.LayoutKey)
	if err != nil {
		return fmt.Errorf("read the layout: %w", err)
	}
	if err := json.Unmarshal(entry.Value(), &r.layout); err != nil {
		return fmt.Errorf("read the layout: %w", err)
	}
	if r.leases, r.lease, err = openLeases(ctx, r.js, r.cfg.Lease, r.cfg.Logger); err != nil {
		return err
	}
	self := Member{ID: r.archive.ID(), Name: r.cfg.Name, Zone: r.cfg.Zone}
	r.membership = newMembership(r.leases, r.lease, self)
	if err := r.membership.join(ctx); err != nil {
		return err
	}
	r.roster = newRoster(r.leases, self.ID, r.lease, r.cfg.Logger)
	r.wishes = newWishes(r.bucket, wire.WishesKey(r.layout.Number), r.cfg.Logger)
	for range r.layout.Partitions {
		r.healths = append(r.healths, newHealth())
	}
	close(r.joined)
	return nil
}
