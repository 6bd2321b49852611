package receiver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// roster follows who lives. Members count as gone when they take their key away, or when it was not renewed for a TTL while own renewals came through the same
// watch: so a watch that hangs, a hub that is away, or a pause of this process makes nobody look dead.
type roster struct {
	bucket jetstream.KeyValue
	self   string // id of the own archive
	ttl    time.Duration
	log    *slog.Logger
	living *cell[[]Member] // by id
	heard  map[string]sighting
	known  chan struct{} // closed when the first look is complete,
	since  time.Time     // which was then
}

// sighting is when a member was heard last.
type sighting struct {
	member Member
	at     time.Time
}

func newRoster(bucket jetstream.KeyValue, self string, ttl time.Duration, log *slog.Logger) *roster {
	return &roster{bucket: bucket, self: self, ttl: ttl, log: log, living: newCell[[]Member](), heard: map[string]sighting{}, known: make(chan struct{})}
}

// alive reports whether the receiver of the archive lives, as far as this process knows.
func (r *roster) alive(id string) bool {
	members, _ := r.living.get()
	return slices.ContainsFunc(members, func(m Member) bool { return m.ID == id })
}

// healing reports whether somebody reads the partition again.
func (r *roster) healing(partition int) bool {
	members, _ := r.living.get()
	return slices.ContainsFunc(members, func(m Member) bool { return slices.Contains(m.Healing, partition) })
}

// await waits until the members are known.
func (r *roster) await(ctx context.Context) error {
	select {
	case <-r.known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run follows the members until ctx ends.
func (r *roster) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.follow(ctx); err != nil && ctx.Err() == nil {
			r.log.Debug("members are looked up anew", "reason", err)
		}
		_ = pause(ctx, r.ttl/renewals)
	}
	return nil
}

// errDeaf says that a watch does not bring even own renewals.
var errDeaf = errors.New("the watch of the members brings nothing")

// follow watches until the watch fails. What was known before stays known for two TTLs: after an outage of the hub every key has ended, and each member needs
// its time to find the hub again.
func (r *roster) follow(ctx context.Context) error {
	watch, err := r.bucket.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch the members: %w", err)
	}
	defer func() { _ = watch.Stop() }() // its consumer ends by itself
	r.forgive(time.Now().Add(r.ttl))
	complete := false
	deaf := time.NewTimer(r.ttl)
	defer deaf.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deaf.C:
			return errDeaf
		case entry, open := <-watch.Updates():
			if !open {
				return errDeaf
			}
			if entry == nil {
				complete = true
			} else {
				r.hear(entry)
				if entry.Key() == r.self {
					deaf.Reset(r.ttl)
				}
			}
			if complete {
				r.publish()
			}
		}
	}
}

// hear notes one word of a member. The own word is the clock by which others are late.
func (r *roster) hear(entry jetstream.KeyValueEntry) {
	if entry.Key() == coordinatorKey {
		return
	}
	now := time.Now()
	var m Member
	if entry.Operation() != jetstream.KeyValuePut || json.Unmarshal(entry.Value(), &m) != nil || m.ID != entry.Key() {
		delete(r.heard, entry.Key())
		return
	}
	before, known := r.heard[m.ID]
	r.heard[m.ID] = sighting{m, now}
	if m.ID != r.self {
		return
	}
	if known && now.Sub(before.at) > r.ttl/2 {
		r.forgive(now)
	}
	for id, s := range r.heard {
		if now.Sub(s.at) > r.ttl {
			r.log.Info("member is gone", "archive", id, "name", s.member.Name, "silent", now.Sub(s.at))
			delete(r.heard, id)
		}
	}
}

// forgive forgets how long the others were silent, when not even the own word came through: the hub was away for all, and who is back first is not the only
// one alive.
func (r *roster) forgive(until time.Time) {
	for id, s := range r.heard {
		if s.at.Before(until) {
			s.at = until
			r.heard[id] = s
		}
	}
}

// publish tells who lives, if that has changed.
func (r *roster) publish() {
	now := make([]Member, 0, len(r.heard))
	for _, s := range r.heard {
		now = append(now, s.member)
	}
	slices.SortFunc(now, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	before, _ := r.living.get()
	if before == nil {
		r.since = time.Now()
		defer close(r.known)
	}
	if before == nil || !slices.EqualFunc(before, now, Member.equal) {
		r.living.set(now)
	}
}

func (m Member) equal(o Member) bool {
	return m.ID == o.ID && m.Name == o.Name && m.Zone == o.Zone && m.Session == o.Session && slices.Equal(m.Healing, o.Healing)
}
