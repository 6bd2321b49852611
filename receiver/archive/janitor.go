package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
)

const (
	sweepEvery = time.Minute
	sweepShare = 50 // a sweep may take 1/50 of the time: a large index is swept less often
)

// Janitor rotates idle files, compresses rotated ones and deletes old ones until ctx ends; then it returns nil. It logs what it cannot do, and
// tries again at the next sweep. It works on a thread of the lowest priority: compressing a segment takes seconds that archiving must not wait for.
func (a *Archive) Janitor(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		yieldProcessor()
		a.keepSweeping(ctx)
	}()
	<-done
	return nil
}

func (a *Archive) keepSweeping(ctx context.Context) {
	for {
		begun := time.Now()
		if err := a.Sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("cannot sweep the archive; trying again", "err", err)
		}
		pause := max(min(sweepEvery, a.cfg.SegmentAge), time.Since(begun)*sweepShare)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// Sweep is one round of the janitor. Apart from rotation, it touches only segments wholly at or below the confirmed floor: those above may have to be
// set aside (rule A5).
func (a *Archive) Sweep(ctx context.Context) error {
	a.sweeping.Lock()
	defer a.sweeping.Unlock()
	floors, err := a.floors()
	if err != nil {
		return err
	}
	age, _ := a.clock.read()
	aged := map[uint64]bool{}
	var first error // one segment that cannot be read, or a disk without room to compress, must not keep others from being deleted
	for p, err := range pages(a.db, bucketSegments, nil) {
		if err != nil {
			return errors.Join(first, err, a.rotateAged(aged))
		}
		v, err := decodeSegment(p.value)
		if err == nil {
			err = a.sweep(ctx, p.key, v, age, floors, aged)
		}
		if ctx.Err() != nil {
			return err
		}
		first = cmp.Or(first, err)
	}
	return errors.Join(first, a.rotateAged(aged))
}

func (a *Archive) sweep(ctx context.Context, key []byte, v segmentValue, age time.Duration, floors map[uint64]uint64, aged map[uint64]bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	confirmed := v.sequence <= floors[v.stream]
	switch {
	case v.state.grows():
		if age-v.born >= a.cfg.SegmentAge {
			aged[v.stream] = true
			return a.seal(key, v)
		}
	case v.state == expired || !confirmed:
	case a.cfg.Retain > 0 && age-v.touched >= a.cfg.Retain:
		return a.expire(key, v)
	case v.state == sealed && a.cfg.Compress != Uncompressed:
		return a.compress(ctx, key, v)
	}
	return nil
}

// floors are the confirmed floors, by stream id.
func (a *Archive) floors() (map[uint64]uint64, error) {
	floors := map[uint64]uint64{}
	err := a.db.View(func(tx *bbolt.Tx) error {
		return eachValue(tx, bucketStreams, nil, func(_, data []byte) error {
			v, err := decodeStream(data)
			floors[v.id] = v.confirmed
			return err
		})
	})
	for _, p := range a.openPartitions() {
		floors[p.id] = max(floors[p.id], p.confirmed.Load())
	}
	return floors, err
}

// openPartitions lists the open partitions.
func (a *Archive) openPartitions() []*Partition {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []*Partition
	for _, p := range a.partitions {
		if p != nil {
			list = append(list, p)
		}
	}
	return list
}

func (a *Archive) partition(id uint64) *Partition {
	for _, p := range a.openPartitions() {
		if p.id == id {
			return p
		}
	}
	return nil
}

// seal rotates a file that has become old without being written to. Its partition does it: a stream that nobody owns here stays as it is.
func (a *Archive) seal(key []byte, v segmentValue) error {
	p := a.partition(v.stream)
	if p == nil {
		return nil
	}
	s, err := a.sourceOf(key)
	if err != nil {
		return err
	}
	return p.sealAged(s, keyUint(key, 1), int64(keyUint(key, 2)))
}

func (p *Partition) sealAged(v sourceValue, generation uint64, start int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	h, err := p.host(v.host)
	if err != nil {
		return err
	}
	s := h.sources[v.source]
	if s == nil || s.generations[generation] == nil {
		return nil
	}
	if t := s.generations[generation].tail; t != nil && t.start == start && p.full(t) {
		return p.seal(t)
	}
	return nil
}

// rotateAged commits the rotations, so that a partition that stays idle does not keep them waiting. One that is healed has its own commits, and
// what it enters into the ledger at the end must be in the last of them.
func (a *Archive) rotateAged(streams map[uint64]bool) error {
	for id := range streams {
		if p := a.partition(id); p != nil && p.whole() {
			if err := p.Cut().Do(); err != nil && !errors.Is(err, ErrClosed) {
				return fmt.Errorf("commit rotated files: %w", err)
			}
		}
	}
	return nil
}

func (a *Archive) sourceOf(key []byte) (v sourceValue, err error) {
	err = a.db.View(func(tx *bbolt.Tx) error {
		v, err = sourceOf(tx, key[:8])
		return err
	})
	return v, err
}

// expire deletes a segment. The index says so first: a file that is gone without its knowing is damage.
func (a *Archive) expire(key []byte, v segmentValue) error {
	name, err := a.fileOf(key, v.state)
	if err != nil {
		return err
	}
	a.settling.Lock()
	defer a.settling.Unlock()
	if err := a.setState(key, v.state, expired); err != nil {
		return err
	}
	a.stats.expired.Add(1)
	if err := at("expire: index written"); err != nil {
		return err
	}
	return a.remove(name)
}

func (a *Archive) fileOf(key []byte, st state) (string, error) {
	s, err := a.sourceOf(key)
	if err != nil {
		return "", err
	}
	return segmentPath(a.hostDir(s.host)+"/"+s.path, keyUint(key, 1), int64(keyUint(key, 2)), st), nil
}

// setState changes the state of a segment that nobody writes to.
func (a *Archive) setState(key []byte, from, to state) error {
	return a.group.do(func(tx *bbolt.Tx) error {
		data, err := getValue(tx, bucketSegments, key)
		if err != nil {
			return err
		}
		v, err := decodeSegment(data)
		if err != nil {
			return err
		}
		if v.state != from {
			return fmt.Errorf("segment is %s, not %s", v.state, from)
		}
		v.state = to
		return putValue(tx, bucketSegments, key, v.encode())
	})
}
