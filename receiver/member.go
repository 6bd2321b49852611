package receiver

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrTwin says that another process runs with a copy of this archive.
var ErrTwin = errors.New("another receiver runs with a copy of this archive; stop it, or give this one an archive directory of its own")

// Member is what a receiver says of itself, under its archive's id, as long as it lives.
type Member struct {
	ID      string `json:"id"`                // of its archive
	Name    string `json:"name,omitempty"`    // for people
	Zone    string `json:"zone,omitempty"`    // where it runs
	Session string `json:"session"`           // of its process
	Healing []int  `json:"healing,omitempty"` // partitions it reads again into a restored archive: nothing of them may be purged
}

// membership keeps the key of this process. It tells others that they may not take over; the record's compare-and-set decides who owns.
type membership struct {
	bucket   jetstream.KeyValue
	ttl      time.Duration
	member   Member // run's, once it runs
	revision uint64 // of the key
	changes  chan saying
}

// saying is something that the member wants to say from now on, and where to say that it is said.
type saying struct {
	apply func(*Member) bool // false: it is said already
	said  chan error
}

func newMembership(bucket jetstream.KeyValue, ttl time.Duration, m Member) *membership {
	m.Session = rand.Text()
	return &membership{bucket: bucket, ttl: ttl, member: m, changes: make(chan saying)}
}

// joinTries is how often the own key must have been renewed by someone else while this process looked on. Once may be a late word of the process before, or
// the end of its key, which refuses an update just as a renewal does.
const joinTries = 3

// join makes the own key (rule R10). One that stands already is left from this archive's process before, or a copy of the archive renews it: that shows
// within half a TTL.
func (m *membership) join(ctx context.Context) error {
	for range joinTries {
		err := m.tryJoin(ctx)
		if err == nil || !isAPI(err, codeWrongLastSequence) && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return err
		}
	}
	return ErrTwin
}

func (m *membership) tryJoin(ctx context.Context) error {
	revision, err := m.bucket.Create(ctx, m.member.ID, m.value())
	if errors.Is(err, jetstream.ErrKeyExists) {
		revision, err = m.inherit(ctx)
	}
	if err != nil {
		return fmt.Errorf("join the members: %w", err)
	}
	m.revision = revision
	return nil
}

// inherit writes the key that stands, unless someone renews it.
func (m *membership) inherit(ctx context.Context) (uint64, error) {
	before, err := m.bucket.Get(ctx, m.member.ID)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, m.ttl/2); err != nil {
		return 0, err
	}
	return m.bucket.Update(ctx, m.member.ID, m.value(), before.Revision())
}

func (m *membership) value() []byte {
	data, err := json.Marshal(m.member)
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	return data
}

// run keeps the own key until ctx ends, and takes it away then. It returns ErrTwin when another process writes it.
func (m *membership) run(ctx context.Context) error {
	tick := time.NewTicker(m.ttl / renewals)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.leave(ctx)
		case <-tick.C:
			if err := m.renew(ctx); errors.Is(err, ErrTwin) {
				return err
			}
		case c := <-m.changes:
			var err error
			if c.apply(&m.member) {
				err = m.renew(ctx)
			}
			c.said <- err
		}
	}
}

// renewals is how often a key is renewed within its TTL.
const renewals = 4

// renew writes the own key again. Without an answer the key may end, and then another receiver may take over: its compare-and-set stops this one.
func (m *membership) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.ttl/2)
	defer cancel()
	if m.took(m.bucket.Update(ctx, m.member.ID, m.value(), m.revision)) == nil {
		return nil
	}
	entry, err := m.bucket.Get(ctx, m.member.ID)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return m.took(m.bucket.Create(ctx, m.member.ID, m.value()))
	case err != nil:
		return err
	case !m.owns(entry.Value()):
		return ErrTwin
	}
	m.revision = entry.Revision() // an own renewal landed, and its answer was lost
	if bytes.Equal(entry.Value(), m.value()) {
		return nil
	}
	// It was an earlier one, and said less. Whoever says that a partition heals must not believe it said before keepers can read it: they would purge what is to be read again.
	return m.took(m.bucket.Update(ctx, m.member.ID, m.value(), m.revision))
}

// took notes the revision of a write that was taken.
func (m *membership) took(revision uint64, err error) error {
	if err == nil {
		m.revision = revision
	}
	return err
}

// owns reports whether a key's value is of this process.
func (m *membership) owns(value []byte) bool {
	var other Member
	return json.Unmarshal(value, &other) == nil && other.Session == m.member.Session
}

// heals says, from now on, whether a partition is read again into the archive. It returns when the hub knows.
func (m *membership) heals(ctx context.Context, partition int, yes bool) error {
	c := saying{said: make(chan error, 1), apply: func(m *Member) bool {
		if !yes && !slices.Contains(m.Healing, partition) {
			return false
		}
		m.Healing = slices.DeleteFunc(slices.Clone(m.Healing), func(p int) bool { return p == partition })
		if yes {
			m.Healing = append(m.Healing, partition)
		}
		return true
	}}
	select {
	case m.changes <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.said:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *membership) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.ttl)
	defer cancel()
	err := m.bucket.Delete(ctx, m.member.ID, jetstream.LastRevision(m.revision))
	if err != nil && !isAPI(err, codeWrongLastSequence) { // then a renewal landed whose answer was lost: the key ends by itself
		return fmt.Errorf("leave the members: %w", err)
	}
	return nil
}
