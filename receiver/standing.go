package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/election"
)

// Standing is how a receiver stands among the others of its hub.
type Standing struct {
	Member
	Alive       bool // it has a lease; without one, its name and zone are not known
	Drained     bool // it shall own nothing
	Coordinator bool
	Partitions  []int // that it owns, as the records say
	Wished      []int // that the coordinator wants it to own
}

// Standings lists the receivers that are alive, own a partition or are drained, by the ids of their archives. Nothing is locked: what is told may be
// history already. js is of the hub's account for receivers.
func Standings(ctx context.Context, js jetstream.JetStream) ([]Standing, error) {
	all := map[string]*Standing{}
	of := func(archive string) *Standing {
		if all[archive] == nil {
			all[archive] = &Standing{Member: Member{ID: archive}}
		}
		return all[archive]
	}
	if err := addMembers(ctx, js, of); err != nil {
		return nil, err
	}
	bucket, err := js.KeyValue(ctx, wire.Bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	if err := addPartitions(ctx, bucket, of); err != nil {
		return nil, err
	}
	drains, _, err := readDrains(ctx, bucket)
	if err != nil {
		return nil, err
	}
	for _, archive := range drains {
		of(archive).Drained = true
	}
	sorted := slices.SortedFunc(maps.Values(all), func(a, b *Standing) int { return cmp.Compare(a.ID, b.ID) })
	standings := make([]Standing, len(sorted))
	for i, s := range sorted {
		standings[i] = *s
	}
	return standings, nil
}

// addMembers notes who is alive and who coordinates. Before the first receiver of a hub there are no leases.
func addMembers(ctx context.Context, js jetstream.JetStream, of func(string) *Standing) error {
	leases, err := js.KeyValue(ctx, leaseBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", leaseBucket, err)
	}
	members, err := Members(ctx, js)
	if err != nil {
		return err
	}
	leader, err := election.Current(ctx, leases, coordinatorKey)
	if err != nil {
		return err
	}
	for _, m := range members {
		s := of(m.ID)
		s.Member, s.Alive, s.Coordinator = m, true, m.ID == leader.ID
	}
	return nil
}

// addPartitions notes who owns the partitions of the layout, and who should.
func addPartitions(ctx context.Context, bucket jetstream.KeyValue, of func(string) *Standing) error {
	layout, err := readLayout(ctx, bucket)
	if err != nil {
		return err
	}
	for p := range layout.Partitions {
		store := recordStore{bucket: bucket, key: wire.RecordKey(layout.Number, p)}
		if err := store.read(ctx); err != nil {
			return err
		}
		if r := store.record; r.Owner != "" && !r.Released {
			s := of(r.Owner)
			s.Partitions = append(s.Partitions, p)
		}
	}
	wishes, _, err := readWishes(ctx, bucket, wire.WishesKey(layout.Number))
	for p, w := range wishes.Wishes {
		if w.Owner != "" {
			s := of(w.Owner)
			s.Wished = append(s.Wished, p)
		}
	}
	return err
}
