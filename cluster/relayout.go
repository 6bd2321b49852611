package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Errors of those who want another layout.
var (
	ErrUnderWay = errors.New("the layout is being changed already")
	ErrNoChange = errors.New("nobody changes the layout")
	ErrTooLate  = errors.New("the change cannot be taken back any more")
)

// LayoutStatus is how a hub divides its hosts, and how far a change of that has come.
type LayoutStatus struct {
	Now    wire.Layout      `json:"now"`
	Next   *wire.NextLayout `json:"next,omitempty"`   // nil: no change is under way
	Behind []Unarchived     `json:"behind,omitempty"` // what a change waits for: partitions that the archive does not have whole
}

// Unarchived is a partition whose floor is not at the end of its stream.
type Unarchived struct {
	Partition int    `json:"partition"`
	Floor     uint64 `json:"floor"` // sequence up to which it is archived
	Last      uint64 `json:"last"`  // of the stream
}

// ReadLayout tells how the hub of js divides its hosts.
func ReadLayout(ctx context.Context, js jetstream.JetStream) (LayoutStatus, error) {
	keys, err := openLayoutKeys(ctx, js)
	if err != nil {
		return LayoutStatus{}, err
	}
	s, err := keys.read(ctx)
	status := LayoutStatus{Now: s.now}
	if err != nil || s.nextRevision == 0 {
		return status, err
	}
	status.Next = &s.next
	if s.wanted() {
		status.Behind, err = unarchived(ctx, js, keys, s.now)
		if errors.Is(err, jetstream.ErrStreamNotFound) { // it was replaced meanwhile
			err = nil
		}
	}
	return status, err
}

// WantLayout asks the hub of js to divide its hosts into so many partitions, with streams of so many bytes; 0: as they are. The hub does it by itself, as soon as the
// archive has everything, and meanwhile takes nothing from agents. It returns what is wanted, or an error that wraps ErrUnderWay.
func WantLayout(ctx context.Context, js jetstream.JetStream, partitions int, streamBytes int64) (wire.Layout, error) {
	keys, err := openLayoutKeys(ctx, js)
	if err != nil {
		return wire.Layout{}, err
	}
	s, err := keys.read(ctx)
	if err != nil {
		return wire.Layout{}, err
	}
	if s.nextRevision != 0 {
		return s.next.Layout, underWay(s.next)
	}
	next := s.now
	next.Number, next.Partitions = s.now.Number+1, partitions
	if streamBytes != 0 {
		next.StreamBytes = streamBytes
	}
	if next.Partitions == s.now.Partitions && next.StreamBytes == s.now.StreamBytes {
		return s.now, fmt.Errorf("the hub has %d partitions of %d bytes already", next.Partitions, next.StreamBytes)
	}
	if err := checkLayout(next); err != nil {
		return s.now, err
	}
	data, err := json.Marshal(wire.NextLayout{Layout: next})
	if err != nil {
		return s.now, fmt.Errorf("encode layout: %w", err)
	}
	_, err = keys.bucket.Create(ctx, wire.NextLayoutKey, data)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return s.now, ErrUnderWay
	}
	if err != nil {
		return s.now, fmt.Errorf("write %s: %w", wire.NextLayoutKey, err)
	}
	return next, nil
}

func underWay(next wire.NextLayout) error {
	return fmt.Errorf("%w, into %d partitions of %d bytes", ErrUnderWay, next.Partitions, next.StreamBytes)
}

// KeepLayout takes back what WantLayout asked for. Its error wraps ErrNoChange if there is nothing to take back, and ErrTooLate if the hub has begun to seal.
func KeepLayout(ctx context.Context, js jetstream.JetStream) error {
	keys, err := openLayoutKeys(ctx, js)
	if err != nil {
		return err
	}
	s, err := keys.read(ctx)
	switch {
	case err != nil:
		return err
	case s.nextRevision == 0:
		return ErrNoChange
	case s.next.Sealing:
		return fmt.Errorf("%w: streams are sealed; the hub goes on into %d partitions", ErrTooLate, s.next.Partitions)
	}
	return keys.clear(ctx, s)
}

// unarchived lists the partitions of a layout that the archive does not have whole. A floor never goes back, so what is read first may only be too low.
func unarchived(ctx context.Context, js jetstream.JetStream, keys layoutKeys, l wire.Layout) (behind []Unarchived, err error) {
	for p := range l.Partitions {
		floor, err := keys.floor(ctx, l, p)
		if err != nil {
			return nil, err
		}
		stream, err := js.Stream(ctx, l.Stream(p))
		if err != nil {
			return nil, fmt.Errorf("open stream %s: %w", l.Stream(p), err)
		}
		if last := stream.CachedInfo().State.LastSeq; floor != last {
			behind = append(behind, Unarchived{Partition: p, Floor: floor, Last: last})
		}
	}
	return behind, nil
}

// floor is up to where a partition is archived, as its record says.
func (k layoutKeys) floor(ctx context.Context, l wire.Layout, partition int) (uint64, error) {
	var record struct {
		Floor uint64 `json:"floor"`
	}
	_, err := k.get(ctx, wire.RecordKey(l.Number, partition), &record)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	return record.Floor, err
}
