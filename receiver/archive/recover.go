package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"
)

// recover makes the directory agree with the index, host by host. What the index does not name was never committed, so the stream has it still.
func (a *Archive) recover() error {
	hosts, err := a.Hosts()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, host := range hosts {
		known[a.hostDir(host)] = true
		if err := a.recoverHost(host); err != nil {
			return err
		}
	}
	entries, err := a.readDir(dirHosts)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if dir := dirHosts + "/" + e.Name(); !e.IsDir() && !known[dir] {
			a.log.Info("removing what is no host's", "file", dir)
			if err := a.remove(dir); err != nil {
				return err
			}
		} else if !known[dir] {
			there := tree{files: map[string]int64{}}
			if err := errors.Join(a.scan(dir, &there), a.sweepAway(&there, nil)); err != nil {
				return err
			}
		}
	}
	return a.recoverQuarantine()
}

// cutUnclean recovers the hosts that closed partitions left. One that cannot be recovered is refused when it is loaded: it must not stop the partitions of others.
func (a *Archive) cutUnclean() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for host := range a.unclean {
		if err := a.recoverHost(host); err != nil {
			a.log.Error("cannot cut files back to what is committed; their host waits", "err", err)
			continue
		}
		delete(a.unclean, host)
	}
	return a.recoverQuarantine()
}

// cutHost recovers a host that cutUnclean could not.
func (a *Archive) cutHost(host string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.unclean[host] {
		return nil
	}
	if err := a.recoverHost(host); err != nil {
		return err
	}
	delete(a.unclean, host)
	return nil
}

// found is a segment of the index on its way to its file.
type found struct {
	key   []byte
	entry Entry  // host, source, generation
	path  string // of the source, below the archive
	start int64
	value segmentValue
}

func (f *found) file() string {
	return segmentPath(f.path, f.entry.Generation, f.start, f.value.state)
}

// recoverHost makes the files of one host what the index says: no longer, and none that it does not name.
func (a *Archive) recoverHost(host string) error {
	a.settling.Lock()
	defer a.settling.Unlock()
	fault := func(err error) error { return fmt.Errorf("recover files of host %s: %w", host, err) }
	segments, err := a.segmentsOf(host)
	if err != nil {
		return fault(err)
	}
	there := tree{files: map[string]int64{}}
	if err := a.scan(a.hostDir(host), &there); err != nil {
		return fault(err)
	}
	keep := map[string]bool{}
	var fixes []func(*bbolt.Tx) error
	for i := range segments {
		f := &segments[i]
		if f.value.state == expired {
			continue
		}
		before := f.value
		damage, err := a.recoverSegment(f, &there)
		if err != nil {
			return fault(err)
		}
		keep[f.file()] = true
		if f.value != before {
			fixes = append(fixes, func(tx *bbolt.Tx) error { return f.store(tx, damage) })
		}
	}
	if err := a.sweepAway(&there, keep); err != nil {
		return fault(err)
	}
	if len(fixes) == 0 {
		return nil
	}
	return a.group.do(func(tx *bbolt.Tx) error {
		for _, fix := range fixes {
			if err := fix(tx); err != nil {
				return fault(err)
			}
		}
		return nil
	})
}

func (a *Archive) segmentsOf(host string) (segments []found, err error) {
	err = a.db.View(func(tx *bbolt.Tx) error {
		return eachSource(tx, host, func(id uint64, v sourceValue) error {
			return eachSegment(tx, keyUints(id), func(k []byte, sv segmentValue) error {
				segments = append(segments, found{
					key: bytes.Clone(k), path: a.hostDir(host) + "/" + v.path, start: int64(keyUint(k, 2)), value: sv,
					entry: Entry{Host: host, Source: v.source, Generation: keyUint(k, 1)},
				})
				return nil
			})
		})
	})
	return segments, err
}

// eachSegment walks the segments whose keys begin with prefix.
func eachSegment(tx *bbolt.Tx, prefix []byte, visit func(key []byte, v segmentValue) error) error {
	return eachValue(tx, bucketSegments, prefix, func(k, data []byte) error {
		v, err := decodeSegment(data)
		if err != nil {
			return err
		}
		return visit(k, v)
	})
}

// recoverSegment finds the file of a segment and cuts it to its length. A process that was killed between a rename and the commit that says so has
// left the file under another of its names.
func (a *Archive) recoverSegment(f *found, there *tree) (damage *Entry, err error) {
	size := there.size(f.file())
	for _, other := range f.value.state.successors() {
		if f.value.state != active && size >= 0 {
			break // only an active file's name may have been taken over by another segment
		}
		if n := there.size(segmentPath(f.path, f.entry.Generation, f.start, other)); n >= 0 {
			f.value.state, size = other, n
			break
		}
	}
	if f.value.state == gzipped || f.value.state == zstded {
		if size >= 0 {
			return nil, nil
		}
	}
	if size > f.value.length {
		return nil, a.truncate(f.file(), f.value.length)
	}
	if size < f.value.length {
		damage = f.lose(max(size, 0))
		a.log.Error("a file of the archive is shorter than what was committed: its disk or somebody lost bytes",
			"file", f.file(), "bytes", damage.Missing(), "host", damage.Host, "source", damage.Source)
	}
	return damage, nil
}

// successors are the states that a file may have reached without the index knowing it.
func (s state) successors() []state {
	switch s {
	case active:
		return []state{sealed}
	case sealed:
		return []state{gzipped, zstded} // compressed by hand: the janitor tells the index before it removes the original
	}
	return nil
}

// lose makes the segment as short as its file, and says what is gone.
func (f *found) lose(size int64) *Entry {
	e := f.entry
	e.From, e.To, e.Reason, e.Sequence = f.start+size, f.start+f.value.length, ReasonDamaged, f.value.sequence
	f.value.length = size
	if f.value.state == active || f.value.state == late {
		return &e
	}
	f.value.state = sealed
	return &e
}

func (f *found) store(tx *bbolt.Tx, damage *Entry) error {
	if damage != nil {
		if err := putValue(tx, bucketLedger, damage.ledgerKey(), damage.value()); err != nil {
			return err
		}
	}
	if f.value.length == 0 {
		return tx.Bucket(bucketSegments).Delete(f.key)
	}
	return putValue(tx, bucketSegments, f.key, f.value.encode())
}

// tree is what stands in a host's directory.
type tree struct {
	files map[string]int64 // size; -1: no regular file
	dirs  []string         // each before those below it
}

// size is the length of a regular file, -1 when there is none.
func (t *tree) size(name string) int64 {
	if size, found := t.files[name]; found {
		return size
	}
	return -1
}

// scan reads a directory and those below it. A link is a file of its own, never followed.
func (a *Archive) scan(dir string, t *tree) error {
	entries, err := a.readDir(dir)
	if err != nil {
		return err
	}
	t.dirs = append(t.dirs, dir)
	for _, e := range entries {
		name := dir + "/" + e.Name()
		if e.IsDir() {
			if err := a.scan(name, t); err != nil {
				return err
			}
			continue
		}
		t.files[name] = -1
		if e.Type().IsRegular() {
			info, err := e.Info()
			if err != nil {
				return err
			}
			t.files[name] = info.Size()
		}
	}
	return nil
}

// sweepAway removes what is not to be kept, and directories that are empty then.
func (a *Archive) sweepAway(t *tree, keep map[string]bool) error {
	used := map[string]bool{}
	for name := range t.files {
		if keep[name] {
			for dir := path.Dir(name); !used[dir]; dir = path.Dir(dir) {
				used[dir] = true
			}
			continue
		}
		a.log.Info("removing what was not committed", "file", name)
		if err := a.remove(name); err != nil {
			return err
		}
	}
	for _, dir := range slices.Backward(t.dirs) {
		if !used[dir] {
			if err := a.remove(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Archive) truncate(name string, size int64) error {
	f, err := a.root.OpenFile(name, openFile, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// readDir lists a directory; one that is absent is empty.
func (a *Archive) readDir(dir string) ([]os.DirEntry, error) {
	f, err := a.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// recoverQuarantine removes messages that were not committed: they come again.
func (a *Archive) recoverQuarantine() error {
	entries, err := a.readDir(dirQuarantine)
	if err != nil || len(entries) == 0 {
		return err
	}
	streams, err := a.Streams()
	if err != nil {
		return err
	}
	committed := map[string]uint64{}
	for _, s := range streams {
		for _, h := range s.Held {
			committed[encodeComponent(s.Name, false)] = max(committed[encodeComponent(s.Name, false)], h.To)
		}
	}
	for _, e := range entries {
		i := strings.LastIndexByte(e.Name(), '-')
		sequence, err := strconv.ParseUint(e.Name()[i+1:], 10, 64)
		if i > 0 && err == nil && sequence > committed[e.Name()[:i]] && !a.inUse(e.Name()[:i]) {
			if err := a.remove(dirQuarantine + "/" + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// inUse says that a partition of the stream is open: what it has quarantined may be committed yet. a.mu is held, or nobody else is here.
func (a *Archive) inUse(encoded string) bool {
	for stream, p := range a.partitions {
		if p != nil && encodeComponent(stream, false) == encoded {
			return true
		}
	}
	return false
}
