package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/logdrive/logdrive/receiver/handover"
	"go.etcd.io/bbolt"
)

// SetAside takes back what was committed in the ranges: the bytes move to superseded/<epoch>/<stream>/<range>/, the index becomes what it was before. Another archive
// holds those messages, but nothing is deleted here: that archive's disk may be the one that dies. The ranges come newest epoch first, as in a Plan; a range that
// was set aside already is fine, so a process that was killed in the middle repeats it.
func (a *Archive) SetAside(stream string, ranges []handover.Range) error {
	if len(ranges) == 0 {
		return nil
	}
	fault := func(err error) error { return fmt.Errorf("set aside what %s gave to others: %w", stream, err) }
	if err := a.reserve(stream); err != nil {
		return fault(err)
	}
	defer a.release(stream)
	if err := a.cutUnclean(); err != nil {
		return fault(err)
	}
	for _, r := range ranges {
		if err := a.setAside(stream, r); err != nil {
			return fault(fmt.Errorf("messages %d to %d of epoch %d: %w", r.After+1, r.To, r.Epoch, err))
		}
	}
	return nil
}

func (a *Archive) release(stream string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.partitions, stream)
}

// setAside copies first, then changes the index, then cuts the files. A crash after any step leaves what the next try, or Open, completes.
func (a *Archive) setAside(stream string, r handover.Range) error {
	back, err := a.wayBack(stream, r)
	if err != nil || back == nil {
		return err
	}
	if err := a.copyAside(back); err != nil {
		return err
	}
	if err := at("set aside: copied"); err != nil {
		return err
	}
	if err := a.group.do(back.apply); err != nil {
		return fmt.Errorf("write archive index: %w", err)
	}
	if err := at("set aside: index restored"); err != nil {
		return err
	}
	for host := range back.hosts {
		if err := a.recoverHost(host); err != nil {
			return err
		}
	}
	a.mu.Lock() // partitions of other streams open, commit and close meanwhile
	defer a.mu.Unlock()
	return a.recoverQuarantine()
}

// wayBack is how the index was before a range was committed.
type wayBack struct {
	stream string
	r      handover.Range
	old    map[string][]byte // by bucket and key, joined; nil: nothing stood there
	undone [][]byte          // keys of the undo records
	hosts  map[string]bool
	pieces []piece
}

// piece is a run of bytes that moves away, or a whole message in quarantine.
type piece struct {
	from, to      string // below the archive
	start, length int64
}

// wayBack joins the undo records of a range. It is nil when nothing of the range is committed (any more).
func (a *Archive) wayBack(stream string, r handover.Range) (*wayBack, error) {
	w := &wayBack{stream: stream, r: r, old: map[string][]byte{}, hosts: map[string]bool{}}
	err := a.db.View(func(tx *bbolt.Tx) error {
		data, err := getValue(tx, bucketStreams, []byte(stream))
		if err != nil || data == nil {
			return err
		}
		v, err := decodeStream(data)
		if err != nil {
			return err
		}
		to, err := v.heldIn(r)
		if err != nil || to <= r.After {
			return err
		}
		if err := w.collect(tx, v.id, to); err != nil {
			return err
		}
		return w.findPieces(tx, a)
	})
	if err != nil || len(w.undone) == 0 {
		return nil, err
	}
	return w, nil
}

// heldIn is up to where the epoch of the range is committed.
func (v *streamValue) heldIn(r handover.Range) (to uint64, err error) {
	for _, h := range v.held {
		if h.Epoch > r.Epoch && h.To > h.After {
			return 0, fmt.Errorf("epoch %d is committed up to %d and must be set aside before", h.Epoch, h.To)
		}
		if h.Epoch == r.Epoch {
			to = h.To
		}
	}
	return to, nil
}

// collect reads the undo records, newest first, so that the oldest value of a key wins.
func (w *wayBack) collect(tx *bbolt.Tx, stream, to uint64) error {
	next := to
	for next > w.r.After {
		key := keyUints(stream, w.r.Epoch, next)
		data, err := getValue(tx, bucketUndo, key)
		if err != nil {
			return err
		}
		if data == nil {
			return fmt.Errorf("the archive cannot go back behind %d: the floor was confirmed there, or no commit ended at %d", next, w.r.After)
		}
		u, err := decodeUndo(data)
		if err != nil {
			return err
		}
		for _, p := range u.old {
			w.old[string(p.key)] = p.value
		}
		w.undone = append(w.undone, key)
		next = u.before
	}
	if next != w.r.After {
		return fmt.Errorf("no commit ended at %d", w.r.After)
	}
	return nil
}

// findPieces finds the bytes that the index will not name any more.
func (w *wayBack) findPieces(tx *bbolt.Tx, a *Archive) error {
	for joined, old := range w.old {
		bucket, key, err := splitKey([]byte(joined))
		if err != nil {
			return err
		}
		switch {
		case bytes.Equal(bucket, bucketHosts):
			w.hosts[string(key)] = true
		case bytes.Equal(bucket, bucketSegments):
			err = w.findSegment(tx, a, key, old)
		case bytes.Equal(bucket, bucketLedger) && old == nil:
			err = w.findQuarantined(tx, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *wayBack) findSegment(tx *bbolt.Tx, a *Archive, key, old []byte) error {
	data, err := getValue(tx, bucketSegments, key)
	if err != nil || data == nil { // its file was lost
		return err
	}
	now, err := decodeSegment(data)
	if err != nil {
		return err
	}
	var before segmentValue
	if old != nil {
		if before, err = decodeSegment(old); err != nil {
			return err
		}
	}
	s, err := sourceOf(tx, key[:8])
	if err != nil || now.length <= before.length {
		return err
	}
	generation, start := keyUint(key, 1), int64(keyUint(key, 2))
	below := a.hostDir(s.host) + "/" + s.path
	w.pieces = append(w.pieces, piece{
		from: segmentPath(below, generation, start, now.state), start: before.length, length: now.length - before.length,
		to: w.dir() + rotatedName(below[len(dirHosts):], generation, start+before.length),
	})
	return nil
}

func (w *wayBack) findQuarantined(tx *bbolt.Tx, key []byte) error {
	data, err := getValue(tx, bucketLedger, key)
	if err != nil || data == nil { // a later entry of the range said it better
		return err
	}
	e, err := decodeEntry(data)
	if err != nil || e.Reason != ReasonQuarantined {
		return err
	}
	name := quarantineName(e.Stream, e.Sequence)
	w.pieces = append(w.pieces, piece{from: name, to: w.dir() + "/" + name, length: -1})
	return nil
}

func (w *wayBack) dir() string {
	return fmt.Sprintf("%s/%d/%s/%d-%d", dirSuperseded, w.r.Epoch, encodeComponent(w.stream, false), w.r.After, w.r.To)
}

// copyAside makes the copies durable. Doing it again writes the same bytes into the same files.
func (a *Archive) copyAside(w *wayBack) error {
	dirs := map[string]bool{}
	for _, p := range w.pieces {
		if err := a.copyPiece(p); err != nil {
			return fmt.Errorf("copy %s to %s: %w", p.from, p.to, err)
		}
		for dir := path.Dir(p.to); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		if err := a.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) copyPiece(p piece) (err error) {
	in, err := a.root.Open(p.from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := a.root.MkdirAll(path.Dir(p.to), dirMode); err != nil {
		return err
	}
	out, err := a.root.OpenFile(p.to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Sync(), out.Close()) }()
	if p.length < 0 {
		_, err = io.Copy(out, in)
		return err
	}
	n, err := io.Copy(out, io.NewSectionReader(in, p.start, p.length))
	if err == nil && n < p.length {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// apply puts the old values back. Names of files are facts and stay; only lengths go back.
func (w *wayBack) apply(tx *bbolt.Tx) error {
	for joined, old := range w.old {
		bucket, key, err := splitKey([]byte(joined))
		if err != nil {
			return err
		}
		if bytes.Equal(bucket, bucketSegments) {
			old, err = shortened(tx, key, old)
		}
		if err == nil && old == nil {
			err = tx.Bucket(bucket).Delete(key)
		} else if err == nil {
			err = putValue(tx, bucket, key, old)
		}
		if err != nil {
			return err
		}
	}
	for _, key := range w.undone {
		if err := tx.Bucket(bucketUndo).Delete(key); err != nil {
			return err
		}
	}
	return w.applyStream(tx)
}

// shortened is the segment as it stands now, with the length of before; nil when nothing is left of it.
func shortened(tx *bbolt.Tx, key, old []byte) ([]byte, error) {
	now, err := getValue(tx, bucketSegments, key)
	if err != nil || old == nil || now == nil {
		return nil, err
	}
	before, errBefore := decodeSegment(old)
	v, errNow := decodeSegment(now)
	if err := errors.Join(errBefore, errNow); err != nil {
		return nil, err
	}
	v.length, v.sequence = min(v.length, before.length), before.sequence
	return v.encode(), nil
}

func (w *wayBack) applyStream(tx *bbolt.Tx) error {
	data, err := getValue(tx, bucketStreams, []byte(w.stream))
	if err != nil {
		return err
	}
	v, err := decodeStream(data)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(v.held, func(h handover.Held) bool { return h.Epoch == w.r.Epoch })
	v.held[i].To = w.r.After
	return putValue(tx, bucketStreams, []byte(w.stream), v.encode())
}
