package receiver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// memberBucket holds a key for each archive whose receiver is alive; keys end by the bucket's TTL.
const memberBucket = "LOGDRIVE_MEMBERS"

// ErrTwin says that another process runs with a copy of this archive.
var ErrTwin = errors.New("another receiver runs with a copy of this archive; stop it, or give this one an archive directory of its own")

// members tells which archives have a living receiver. It decides only who may try to take over a partition; the record's compare-and-set decides who does.
type members struct {
	bucket   jetstream.KeyValue
	id       string // of the own archive
	ttl      time.Duration
	session  []byte // of this process: the own key's value
	revision uint64 // of the own key
}

func openMembers(ctx context.Context, js jetstream.JetStream, id string, ttl time.Duration) (*members, error) {
	bucket, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: memberBucket, Description: "archives whose receiver is alive", TTL: ttl, History: 1, MaxBytes: 1 << 20,
	})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", memberBucket, err)
	}
	return &members{bucket: bucket, id: id, ttl: ttl, session: []byte(rand.Text())}, nil
}

// joinTries is how often the own key must have been renewed by someone else while this process looked on. Once may be a late word of the process before, or
// the end of its key, which refuses an update just as a renewal does.
const joinTries = 3

// join makes the own key (rule R10). One that stands already is left from this archive's process before, or a copy of the archive renews it: that shows
// within half a TTL.
func (m *members) join(ctx context.Context) error {
	for range joinTries {
		err := m.tryJoin(ctx)
		if err == nil || !isAPI(err, codeWrongLastSequence) && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return err
		}
	}
	return ErrTwin
}

func (m *members) tryJoin(ctx context.Context) error {
	revision, err := m.bucket.Create(ctx, m.id, m.session)
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
func (m *members) inherit(ctx context.Context) (uint64, error) {
	before, err := m.bucket.Get(ctx, m.id)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, m.ttl/2); err != nil {
		return 0, err
	}
	return m.bucket.Update(ctx, m.id, m.session, before.Revision())
}

// run keeps the own key until ctx ends, and takes it away then. It returns ErrTwin when another process writes it.
func (m *members) run(ctx context.Context) error {
	tick := time.NewTicker(m.ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.leave(ctx)
		case <-tick.C:
			if err := m.renew(ctx); errors.Is(err, ErrTwin) {
				return err
			}
		}
	}
}

// renew writes the own key again. Without an answer the key may end, and then another receiver may take over: its compare-and-set stops this one.
func (m *members) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.ttl/3)
	defer cancel()
	revision, err := m.bucket.Update(ctx, m.id, m.session, m.revision)
	if err == nil {
		m.revision = revision
		return nil
	}
	entry, getErr := m.bucket.Get(ctx, m.id)
	switch {
	case errors.Is(getErr, jetstream.ErrKeyNotFound):
		if revision, err = m.bucket.Create(ctx, m.id, m.session); err == nil {
			m.revision = revision
		}
		return err
	case getErr != nil:
		return getErr
	case !bytes.Equal(entry.Value(), m.session):
		return ErrTwin
	}
	m.revision = entry.Revision() // an own renewal landed, and its answer was lost
	return nil
}

func (m *members) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.ttl)
	defer cancel()
	err := m.bucket.Delete(ctx, m.id, jetstream.LastRevision(m.revision))
	if err != nil && !isAPI(err, codeWrongLastSequence) { // then a renewal landed whose answer was lost: the key ends by itself
		return fmt.Errorf("leave the members: %w", err)
	}
	return nil
}

// alive reports whether the receiver of the archive has a key.
func (m *members) alive(ctx context.Context, id string) (bool, error) {
	_, err := m.bucket.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for member %s: %w", id, err)
	}
	return true, nil
}
