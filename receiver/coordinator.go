package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/assign"
)

// errDeposed says that a later coordinator has written its wishes.
var errDeposed = errors.New("another receiver coordinates")

// keepersAtOnce is how many partitions the coordinator looks at in parallel, so that one that hangs does not hold up the others.
const keepersAtOnce = 8

// coordinator wishes who should own which partition, and keeps the streams in shape. It does nothing that a frozen one could do harm with: wishes bind nobody and
// carry its term, and what it purges is below a floor that never goes back.
type coordinator struct {
	*session
	term    uint64 // of the lease; once wishes are written, theirs, which is higher than any before even if the bucket of leases was made anew
	wished  bool   // something was written under term
	keepers []*keeper
}

// coordinate is what the holder of the coordinator's lease does until ctx ends.
func (s *session) coordinate(ctx context.Context, term uint64) error {
	c := &coordinator{session: s, term: term}
	for p := range s.layout.Partitions {
		c.keepers = append(c.keepers, newKeeper(s, p))
	}
	s.cfg.Logger.Info("coordinates the receivers", "term", term)
	s.metrics.leader.Set(1)
	defer s.metrics.leader.Set(0)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.assignAll(ctx) })
	group.Go(func() error { return c.keepAll(ctx) })
	return group.Wait()
}

// assignAll writes wishes whenever the members change, until ctx ends.
func (c *coordinator) assignAll(ctx context.Context) error {
	if err := c.settle(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(c.cfg.KeepEvery)
	defer tick.Stop()
	for {
		members, changed := c.roster.living.get()
		if err := c.assign(ctx, members); err != nil {
			if ctx.Err() != nil {
				return err
			}
			c.cfg.Logger.Warn("cannot assign partitions; trying again", "err", err)
			if errors.Is(err, errDeposed) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-tick.C: // a drain was asked for, or the last try failed
		}
	}
}

// settle gives the owners of before, that this process has never seen, a TTL to appear: after an outage of all the first one to come should not take everything.
func (c *coordinator) settle(ctx context.Context) error {
	if err := c.roster.await(ctx); err != nil {
		return err
	}
	for time.Since(c.roster.since) < c.roster.ttl {
		members, changed := c.roster.living.get()
		before, _, err := readWishes(ctx, c.bucket, wire.WishesKey(c.layout.Number))
		if err == nil && !absent(members, before.Wishes) {
			return nil
		}
		wait, cancel := context.WithTimeout(ctx, time.Until(c.roster.since.Add(c.roster.ttl)))
		select {
		case <-wait.Done():
		case <-changed:
		}
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// absent reports whether somebody is wished for who is not there.
func absent(members []Member, wishes []assign.Wish) bool {
	return slices.ContainsFunc(wishes, func(w assign.Wish) bool {
		return w.Owner != "" && !slices.ContainsFunc(members, func(m Member) bool { return m.ID == w.Owner })
	})
}

// assign writes the wishes for these members, unless they stand already.
func (c *coordinator) assign(ctx context.Context, members []Member) error {
	key := wire.WishesKey(c.layout.Number)
	before, revision, err := readWishes(ctx, c.bucket, key)
	if err != nil {
		return err
	}
	if c.wished && before.Term > c.term {
		return errDeposed
	}
	term := c.term
	if !c.wished {
		term = max(term, before.Term+1)
	}
	drains, _, err := readDrains(ctx, c.bucket)
	if err != nil {
		return err
	}
	now := Wishes{Term: term, Wishes: assign.Wishes(candidates(members, drains), before.Wishes, c.layout.Partitions)}
	if c.wished && slices.Equal(before.Wishes, now.Wishes) {
		return nil
	}
	data, err := json.Marshal(now)
	if err == nil {
		err = c.at(everyPartition, "wish")
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	if _, err = compareAndSet(ctx, c.bucket, key, data, revision); err != nil { // refused, or unknown: read again
		return fmt.Errorf("write %s: %w", key, err)
	}
	c.term, c.wished = term, true
	c.cfg.Logger.Info("partitions are assigned", "term", term, "members", len(members), "moved", moved(before.Wishes, now.Wishes))
	return nil
}

func candidates(members []Member, drains []string) []assign.Member {
	var all []assign.Member
	for _, m := range members {
		all = append(all, assign.Member{ID: m.ID, Zone: m.Zone, Draining: slices.Contains(drains, m.ID)})
	}
	return all
}

// moved counts the partitions that should have another owner than before.
func moved(before, now []assign.Wish) (n int) {
	for p, w := range now {
		if p >= len(before) || before[p].Owner != w.Owner {
			n++
		}
	}
	return n
}

// keepAll looks at every partition again and again, once it is known who lives: members say what they read again, and nothing of that may be purged.
func (c *coordinator) keepAll(ctx context.Context) error {
	if err := c.roster.await(ctx); err != nil {
		return err
	}
	looks := make(chan struct{}, keepersAtOnce)
	group, ctx := errgroup.WithContext(ctx)
	for _, k := range c.keepers {
		group.Go(func() error { return k.run(ctx, looks) })
	}
	return group.Wait()
}
