package e2e_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/invariants"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// rested waits until every partition is owned by whom the coordinator wants, evenly shared by the members that run, with all archived that is in the streams now.
func (c *crew) rested(w *watch) {
	c.t.Helper()
	var able []string
	for _, m := range c.running() {
		m.ready()
		able = append(able, m.id())
	}
	v := c.view()
	defer v.nc.Close()
	start, ends := time.Now(), make([]uint64, partitions)
	for p := range ends {
		_, info := v.stream(p)
		ends[p] = info.State.LastSeq
	}
	for !v.shared(able) || !v.archived(ends) {
		c.alive()
		if c.t.Failed() || time.Since(start) > 3*patience { // the watch knows better what is too long
			c.t.Fatalf("not at rest after %v: shared by %v: %t, archived: %t", time.Since(start).Round(time.Second), able, v.shared(able), v.archived(ends))
		}
		time.Sleep(20 * time.Millisecond)
	}
	longest, changes := w.figures()
	c.t.Logf("at rest after %v; so far a partition stood still for %v at most, and owners changed %d times", time.Since(start).Round(time.Millisecond), longest, changes)
}

// shared reports whether these archives own everything, as the coordinator wants, within one of each other.
func (v *view) shared(able []string) bool {
	v.t.Helper()
	var wishes receiver.Wishes
	v.get(wire.WishesKey(v.layout.Number), &wishes)
	owned := map[string]int{}
	for p, wish := range wishes.Wishes {
		if r := v.record(p); r.Owner != wish.Owner || r.Released {
			return false
		}
		owned[wish.Owner]++
	}
	least := partitions / len(able)
	for _, id := range able {
		if owned[id] < least || owned[id] > least+1 {
			return false
		}
		delete(owned, id)
	}
	return len(owned) == 0
}

// archived reports whether the floors cover these ends of the streams.
func (v *view) archived(ends []uint64) bool {
	v.t.Helper()
	for p, end := range ends {
		if v.record(p).Floor < end {
			return false
		}
	}
	return true
}

// exact checks, with all receivers stopped and the hub running, that the archives together hold every byte once, and that hub and archives agree.
func (c *crew) exact() {
	c.t.Helper()
	v := c.view()
	defer v.nc.Close()
	hub, err := invariants.ReadHub(v.ctx, v.nc)
	must(c.t, err)
	var archives []invariants.Archive
	for _, dir := range c.archives() {
		a, err := invariants.ReadArchive(dir)
		must(c.t, err)
		archives = append(archives, a)
		if l := readLedger(c.t, dir); len(l) > 0 {
			c.t.Errorf("ledger of %s holds %v", dir, l)
		}
	}
	for _, violation := range invariants.Check(hub, archives) {
		c.t.Errorf("invariant violated: %v", violation)
	}
	for i, a := range archives {
		for _, p := range hub {
			c.reconciled(c.archives()[i], a, p)
		}
	}
	if !c.t.Failed() { // else the bytes are known to be wrong
		c.bytes()
	}
}

// reconciled complains of what the archive should have set aside, since it has seen the record after the last owner came, and of epochs that were not its own.
func (c *crew) reconciled(dir string, a invariants.Archive, p invariants.Partition) {
	c.t.Helper()
	for _, h := range a.Held[p.Stream] {
		if bound := p.Record.Bound(h.Epoch); h.To > bound {
			c.t.Errorf("%s still holds %d to %d of %s, archived again by a later epoch: %+v", dir, bound+1, h.To, p.Stream, p.Record)
		}
		if !slices.ContainsFunc(p.Record.Epochs, func(e handover.Epoch) bool { return e.Epoch == h.Epoch && e.Owner == a.ID }) {
			c.t.Errorf("%s has committed under epoch %d of %s, which is another's: %+v", dir, h.Epoch, p.Stream, p.Record)
		}
	}
}

func (c *crew) bytes() {
	c.t.Helper()
	start, total, archives := time.Now(), 0, map[string]*archive.Reader{}
	for _, dir := range c.archives() {
		archives[dir] = openIndex(c.t, dir)
		defer archives[dir].Close()
		total += c.superseded(dir)
	}
	for _, src := range c.sources {
		var all []piece
		for dir, r := range archives {
			all = append(all, piecesIn(c.t, r, dir, src)...)
		}
		equalPieces(c.t, src, all)
	}
	c.t.Logf("%d bytes are superseded; checked in %v", total, time.Since(start).Round(time.Millisecond))
}

// aside is the path of what was set aside: epoch, stream, range, host, source, generation, offset.
var aside = regexp.MustCompile(`^\d+/[^/]+/\d+-\d+/([^/]+)(/.+)%(\d{8,})-(\d{18,})$`)

// superseded checks that everything set aside is bytes that the log had, so that with equal archives it is all elsewhere.
func (c *crew) superseded(dir string) (total int) {
	c.t.Helper()
	root := filepath.Join(dir, "superseded")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		got, err := os.ReadFile(path)
		if err == nil && !c.holds(path[len(root)+1:], got) {
			c.t.Errorf("%s was set aside and is not in any log", path)
		}
		total += len(got)
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) {
		must(c.t, err)
	}
	return total
}

// holds reports whether a log has these bytes where the path says.
func (c *crew) holds(path string, piece []byte) bool {
	c.t.Helper()
	m := aside.FindStringSubmatch(path)
	if m == nil {
		return false
	}
	i := slices.IndexFunc(c.sources, func(s *source) bool { return s.host == m[1] && s.path == m[2] })
	generation, err := strconv.Atoi(m[3])
	if err != nil || i < 0 {
		return false
	}
	offset, err := strconv.Atoi(m[4])
	must(c.t, err)
	all, err := os.ReadFile(c.sources[i].generationFile(generation))
	return err == nil && offset+len(piece) <= len(all) && bytes.Equal(all[offset:offset+len(piece)], piece)
}
