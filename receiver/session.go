package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/election"
)

// session is a receiver's work under one layout of the hub: it is a member, stands for coordinator, and has a worker for each partition.
type session struct {
	*Receiver
	bucket     jetstream.KeyValue
	layout     wire.Layout
	leases     jetstream.KeyValue
	lease      time.Duration
	membership *membership
	roster     *roster
	wishes     *wishes
	healths    []*health // by partition
}

// newSession reads the layout and joins the members.
func newSession(ctx context.Context, r *Receiver) (s *session, err error) {
	s = &session{Receiver: r}
	if s.bucket, err = r.js.KeyValue(ctx, wire.Bucket); err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	if s.layout, err = readLayout(ctx, s.bucket); err != nil {
		return nil, err
	}
	if err := s.reconcileOthers(ctx); err != nil {
		return nil, err
	}
	if s.leases, s.lease, err = openLeases(ctx, r.js, r.cfg.Lease, r.cfg.Logger); err != nil {
		return nil, err
	}
	self := Member{ID: r.archive.ID(), Name: r.cfg.Name, Zone: r.cfg.Zone}
	s.membership = newMembership(s.leases, s.lease, self)
	if err := s.membership.join(ctx); err != nil {
		return nil, err
	}
	s.roster = newRoster(s.leases, self.ID, s.lease, r.cfg.Logger)
	s.wishes = newWishes(s.bucket, wire.WishesKey(s.layout.Number), r.cfg.Logger)
	for range s.layout.Partitions {
		s.healths = append(s.healths, newHealth())
	}
	return s, nil
}

// run works until ctx ends, or the layout changes: then its error is errLayout.
func (s *session) run(ctx context.Context) error {
	// The member key outlives the partitions: while they commit for the last time, nobody should take over.
	membership, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.stay(membership) })
	group.Go(func() error { return s.roster.run(ctx) })
	group.Go(func() error { return s.wishes.run(ctx) })
	group.Go(func() error { return s.campaign(ctx) })
	group.Go(func() error { return s.followLayout(ctx) })
	group.Go(func() error {
		defer leave()
		return s.ownAll(ctx)
	})
	return group.Wait()
}

// stay keeps this process a member until ctx ends. A hub that is out of reach then keeps nobody from ending: the others see that it is gone when its lease ends.
func (s *session) stay(ctx context.Context) error {
	err := s.membership.run(ctx)
	if err == nil || errors.Is(err, ErrTwin) {
		return err
	}
	s.cfg.Logger.Warn("cannot leave the members; they wait for the end of the lease", "err", err)
	return nil
}

// campaign stands for coordinator until ctx ends.
func (s *session) campaign(ctx context.Context) error {
	cfg := election.Config{ID: s.archive.ID(), TTL: s.lease, Logger: s.cfg.Logger}
	for {
		// A later term need not be that of a living coordinator: what one wrote just before its lease ended may land after its successor's wishes. Whoever
		// wins next writes under a later one.
		if err := election.Run(ctx, s.leases, coordinatorKey, cfg, s.coordinate); !errors.Is(err, errDeposed) {
			return err
		}
	}
}

// ownAll works on every partition. Each waits out its own faults, so that one that is stuck does not stop the others.
func (s *session) ownAll(ctx context.Context) error {
	var group errgroup.Group
	for p := range s.layout.Partitions {
		group.Go(func() error {
			s.keepOwning(ctx, p, s.healths[p])
			return nil
		})
	}
	return group.Wait()
}

func (s *session) keepOwning(ctx context.Context, p int, h *health) {
	wait := backoff{s.cfg.RetryMin, s.cfg.RetryMax}
	for ctx.Err() == nil {
		start := time.Now()
		err := s.own(ctx, p, h)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			if !errors.Is(err, context.Canceled) {
				s.cfg.Logger.Warn("last commit of the partition is not complete; it is read again at the next start", "partition", p, "err", err)
			}
			return
		}
		if time.Since(start) > s.cfg.RetryMax {
			wait.next = s.cfg.RetryMin
		}
		h.fault(fmt.Errorf("partition %d: %w", p, err))
		s.cfg.Logger.Warn("partition stopped; trying again", "partition", p, "err", err)
		_ = wait.sleep(ctx)
	}
}
