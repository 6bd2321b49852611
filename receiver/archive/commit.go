package archive

import (
	"fmt"
	"os"
	"time"

	"github.com/logdrive/logdrive/receiver/handover"
	"go.etcd.io/bbolt"
)

// syncAllAbove is how many files a commit syncs one by one; more are cheaper with one sync of the file system.
const syncAllAbove = 8

// Commit makes what was appended between two cuts durable. What it holds does not change any more, so appending goes on beside it.
type Commit struct {
	p        *Partition
	border   uint64
	sequence uint64
	bytes    int64
	files    []*handle // to be synced; empty when all is
	all      bool
	dirs     []string // to be synced
	puts     []put
	drops    [][]byte
	fault    error // what went wrong at the cut
}

// put is one value of the index. once: it is only written where none stands.
type put struct {
	bucket, key, value []byte
	once               bool
}

// Cut draws a border: everything appended so far belongs to the commit it returns. Each Commit must be done, in order, or the partition closed.
func (p *Partition) Cut() *Commit {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.pending
	c := &Commit{p: p, border: p.border, sequence: p.appended, bytes: n.bytes, drops: n.drops}
	if p.closed {
		c.fault = ErrClosed // its files may be another partition's by now: not even what lies beyond their lengths may be cut
		return c
	}
	if c.fault = p.settle(); c.fault != nil {
		return c
	}
	p.pending = newPending()
	p.border++
	c.gather(n)
	c.pin(n)
	return c
}

// gather encodes what changed.
func (c *Commit) gather(n *pending) {
	for h := range n.hosts {
		c.put(bucketHosts, []byte(h.name), h.value.encode())
	}
	for s := range n.sources {
		if !s.stored {
			s.stored = true
			v := sourceValue{host: s.host.name, source: s.name, path: s.path[len(s.host.dir)+1:]}
			c.put(bucketSources, keyUints(s.id), v.encode())
			c.put(bucketNames, nameKey(s.host.name, s.name), keyUints(s.id))
		}
	}
	for g := range n.generations {
		v := g.value()
		c.put(bucketGenerations, keyUints(g.source.id, g.number), v.encode())
	}
	for t := range n.segments {
		if t.value.length > 0 {
			c.put(bucketSegments, keyUints(t.source.id, t.generation, uint64(t.start)), t.value.encode())
		}
	}
	for _, e := range n.entries {
		c.puts = append(c.puts, put{bucket: bucketLedger, key: e.ledgerKey(), value: e.value(), once: true})
	}
}

func (c *Commit) put(bucket, key, value []byte) {
	c.puts = append(c.puts, put{bucket: bucket, key: key, value: value})
}

// pin keeps the files open that must be synced, so that an error the kernel has seen on them is not missed.
func (c *Commit) pin(n *pending) {
	if canSyncAll && len(n.segments) > syncAllAbove {
		c.all = true
		for t := range n.segments {
			if !t.value.state.grows() {
				c.p.a.files.forget(t) // the sync of the file system is its, too
			}
		}
		return
	}
	c.p.cuts[c] = struct{}{}
	for t := range n.segments {
		if t.value.length == 0 {
			continue
		}
		h, err := c.p.use(t)
		if err != nil {
			c.fault = fmt.Errorf("open segment %s to sync it: %w", t.path(), err)
			return
		}
		c.files = append(c.files, h)
		if !t.value.state.grows() {
			c.p.a.files.forget(t) // closed by unpin: what the janitor deletes must not keep its room
		}
	}
	for dir := range n.dirs {
		c.dirs = append(c.dirs, dir)
	}
}

// Sequence is the last message of the commit.
func (c *Commit) Sequence() uint64 { return c.sequence }

// Bytes is how many bytes were appended in it.
func (c *Commit) Bytes() int64 { return c.bytes }

// Do makes the commit durable, after those of earlier cuts: the files first, then one transaction that says so. After an error nothing of it counts, and what the files
// hold is not known any more (the kernel may have dropped pages it could not write): the partition must be closed, opened anew, and read again from Committed.
func (c *Commit) Do() error {
	p := c.p
	p.doing.Lock()
	defer p.doing.Unlock()
	defer p.turn.Broadcast()
	defer c.unpin()
	for c.border != p.done+1 && p.fault == nil {
		p.turn.Wait()
	}
	if p.fault != nil {
		return p.fault
	}
	begun := time.Now()
	if err := c.do(); err != nil {
		p.fault = fmt.Errorf("commit up to %d of %s: %w", c.sequence, p.stream, err)
		return p.fault
	}
	p.done = c.border
	p.a.stats.commits.Add(1)
	p.a.stats.commitTime.Add(int64(time.Since(begun)))
	return nil
}

func (c *Commit) do() error {
	if c.fault != nil {
		return c.fault
	}
	if c.sequence == c.p.committed.Load() && len(c.puts) == 0 {
		return nil
	}
	if err := c.sync(); err != nil {
		return err
	}
	if err := at("commit: synced"); err != nil {
		return err
	}
	if err := c.p.a.group.do(c.store); err != nil {
		return fmt.Errorf("write archive index: %w", err)
	}
	if err := at("commit: index written"); err != nil {
		return err
	}
	c.p.committed.Store(c.sequence)
	return nil
}

func (c *Commit) sync() error {
	if c.all {
		c.p.a.stats.syncedAll.Add(1)
		if err := syncAll(c.p.dir); err != nil {
			return fmt.Errorf("sync file system of archive: %w", err)
		}
		return nil
	}
	for _, h := range c.files {
		c.p.a.stats.syncedFiles.Add(1)
		if err := syncData(h.File); err != nil {
			return fmt.Errorf("sync segment %s: %w", h.Name(), err)
		}
	}
	for _, dir := range c.dirs {
		if err := c.p.a.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// store writes the values, and beside them what they replace: that is how the commit can be taken back while the floor is below it.
func (c *Commit) store(tx *bbolt.Tx) error {
	p := c.p
	u := undo{before: p.committed.Load()}
	for _, drop := range c.drops {
		if err := u.remember(tx, bucketLedger, drop); err != nil {
			return err
		}
		if err := tx.Bucket(bucketLedger).Delete(drop); err != nil {
			return err
		}
	}
	for _, w := range c.puts {
		if w.once && tx.Bucket(w.bucket).Get(w.key) != nil {
			continue
		}
		if err := u.remember(tx, w.bucket, w.key); err != nil {
			return err
		}
		if err := putValue(tx, w.bucket, w.key, w.value); err != nil {
			return err
		}
	}
	if err := c.storeStream(tx); err != nil {
		return err
	}
	if c.sequence > u.before {
		if err := putValue(tx, bucketUndo, keyUints(p.id, p.epoch, c.sequence), u.encode()); err != nil {
			return err
		}
	}
	return dropUndo(tx, p.id, p.confirmed.Load())
}

// storeStream notes how far the epoch is committed.
func (c *Commit) storeStream(tx *bbolt.Tx) error {
	p := c.p
	v := streamValue{id: p.id, created: p.created}
	data, err := getValue(tx, bucketStreams, []byte(p.stream))
	if err != nil {
		return err
	}
	if data != nil {
		if v, err = decodeStream(data); err != nil {
			return err
		}
	}
	v.confirmed = max(v.confirmed, p.confirmed.Load())
	v.clock, _ = p.a.clock.read()
	v.commit(handover.Held{Epoch: p.epoch, After: p.start, To: c.sequence})
	return putValue(tx, bucketStreams, []byte(p.stream), v.encode())
}

func (v *streamValue) commit(held handover.Held) {
	for i := range v.held {
		if v.held[i].Epoch == held.Epoch {
			v.held[i].To = held.To
			return
		}
	}
	v.held = append(v.held, held)
}

func (c *Commit) unpin() {
	c.p.mu.Lock()
	delete(c.p.cuts, c)
	c.p.mu.Unlock()
	c.release()
}

// release gives the files back. Partition.doing is held.
func (c *Commit) release() {
	for _, h := range c.files {
		c.p.a.files.release(h)
	}
	c.files = nil
}

// use gives the file of a segment that exists.
func (p *Partition) use(t *segment) (*handle, error) {
	return p.a.files.use(t, func() (*os.File, error) { return p.a.root.OpenFile(t.path(), openFile, 0) })
}
