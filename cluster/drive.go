package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/wire"
)

// driveEvery is how often the floors are looked at while a change waits for them, tellEvery how often the log says so.
const (
	driveEvery = 250 * time.Millisecond
	tellEvery  = 10 * time.Second
)

// driver changes the layout, by rule H4. One node has one. Each step is derived from what stands in the bucket and in the streams, and may be made again: whoever
// drives on after a kill begins at the first one, and finds them made.
type driver struct {
	js   jetstream.JetStream
	keys layoutKeys
	log  *slog.Logger
	told time.Time
	end  *still // of the sealed streams; nil before they are
}

func (d *driver) run(ctx context.Context) error { return d.keys.attend(ctx, d.log, d.look) }

func (d *driver) look(ctx context.Context) (time.Duration, error) {
	s, err := d.keys.read(ctx)
	switch {
	case err != nil:
	case s.replaced():
		err = d.clear(ctx, s)
	case s.wanted():
		return driveEvery, d.drive(ctx, s)
	}
	return lookEvery, err
}

// drive goes as far as it can. Until every floor is at the end of its stream that is nowhere; the archive must have everything of the old layout before a
// batch of the new one exists, or two receivers would write one host's bytes at once, in any order.
func (d *driver) drive(ctx context.Context, s standing) error {
	if err := s.check(); err != nil {
		return err
	}
	if all, err := d.archived(ctx, s); !all || err != nil {
		return err
	}
	stopAt("archived")
	if !s.next.Sealing {
		if err := d.keys.seal(ctx, &s); err != nil {
			return err
		}
	}
	stopAt("sealing")
	if err := d.seal(ctx, s.now); err != nil {
		return err
	}
	stopAt("sealed")
	if end, err := d.ended(ctx, s.now); !end || err != nil {
		return err
	}
	// A batch may have slipped in before the seal. None can any more.
	if all, err := d.archived(ctx, s); !all || err != nil {
		return err
	}
	return d.replace(ctx, s)
}

// archived reports whether every floor is at the end of its stream.
func (d *driver) archived(ctx context.Context, s standing) (bool, error) {
	behind, err := unarchived(ctx, d.js, d.keys, s.now)
	if err != nil || len(behind) == 0 {
		return err == nil, err
	}
	if time.Since(d.told) > tellEvery {
		d.told = time.Now()
		d.log.Info("change of the layout waits for the archive", "partitions", len(behind), "first", behind[0].Partition, "floor", behind[0].Floor, "last", behind[0].Last)
	}
	return false, nil
}

// seal is the fence: what an agent, a receiver or the network still holds for a stream is refused by it from now on, with an answer that makes agents offer the same
// bytes again, until they are told that their chain is elsewhere.
func (d *driver) seal(ctx context.Context, l wire.Layout) error {
	for p := range l.Partitions {
		stream, err := d.js.Stream(ctx, l.Stream(p))
		if err != nil {
			return fmt.Errorf("open stream %s: %w", l.Stream(p), err)
		}
		cfg := stream.CachedInfo().Config
		if cfg.Sealed {
			continue
		}
		cfg.Sealed = true
		if _, err := d.js.UpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("seal stream %s: %w", cfg.Name, err)
		}
		stopAt("one sealed")
	}
	return nil
}

// ended reports whether nothing can be stored in the sealed streams any more.
func (d *driver) ended(ctx context.Context, l wire.Layout) (bool, error) {
	if d.end == nil {
		d.end = &still{js: d.js}
	}
	end, moving, err := d.end.look(ctx, l)
	if !end && err == nil && time.Since(d.told) > tellEvery {
		d.told = time.Now()
		d.log.Info("change of the layout waits for the nodes to agree on the end of the sealed streams", "stream", moving)
	}
	return end, err
}

// replace puts the next layout in the place of the one that is sealed and archived.
func (d *driver) replace(ctx context.Context, s standing) error {
	replicas, err := d.startTables(ctx, s)
	if err != nil {
		return err
	}
	stopAt("tables")
	for p := range s.next.Partitions {
		// Made already by a driver that was killed, it is the same.
		if _, err := d.js.CreateStream(ctx, streamConfig(s.next.Layout, p, replicas)); err != nil {
			return fmt.Errorf("make stream %s: %w", s.next.Stream(p), err)
		}
		stopAt("one stream")
	}
	stopAt("streams")
	if err := d.keys.install(ctx, &s); err != nil {
		return err
	}
	d.end = nil
	stopAt("installed")
	d.log.Info("layout of the hub has been changed", "layout", s.now.Number, "partitions", s.now.Partitions, "stream_bytes", s.now.StreamBytes)
	return d.clear(ctx, s)
}

// startTables gives every host that was ever seen its table of before, as one of the new stream's sequence 0: from there its chain goes on. It tells how many nodes keep the bucket
// with the tables, for the new streams are to be kept by as many.
//
// A leader that was frozen, and goes on only now, answers from a store that lacks what others have acknowledged since; with such a table those bytes would be shipped twice. It answers for a
// second at least, so the streams are looked at once more between reading and writing: then it would tell of another end, or of no followers.
func (d *driver) startTables(ctx context.Context, s standing) (replicas int, err error) {
	f := newFoundation(s.now, d.js)
	if err := f.open(ctx); err != nil {
		return 0, err
	}
	tables, err := d.readTables(ctx, f)
	if err != nil {
		return 0, err
	}
	if end, moving, err := d.end.look(ctx, s.now); err != nil || !end {
		return 0, errors.Join(fmt.Errorf("the sealed streams have moved while tables were read (%s)", moving), err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(helloWorkers)
	for host, table := range tables {
		group.Go(func() error { return d.startTable(ctx, host, table, s.next.Layout) })
	}
	return f.bucket.CachedInfo().Config.Replicas, group.Wait()
}

// readTables is what the sealed streams say of every host.
func (d *driver) readTables(ctx context.Context, f *foundation) (map[string]wire.Table, error) {
	var mu sync.Mutex // guards tables
	tables := map[string]wire.Table{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(helloWorkers)
	for p := range f.streams {
		hosts, err := f.hosts(ctx, p)
		if err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		for host := range hosts {
			group.Go(func() error {
				table, err := d.readTable(ctx, f.chain(host))
				mu.Lock()
				defer mu.Unlock()
				tables[host] = table
				return err
			})
		}
	}
	return tables, group.Wait()
}

func (d *driver) readTable(ctx context.Context, c *chain) (wire.Table, error) {
	st, err := c.read(ctx, 0)
	if errors.Is(err, errWentBack) {
		// What its table covers is archived. What came behind that, if anything, the agent ships once more.
		d.log.Error("stream has lost the end of a host's chain; the host goes on from its table", "host", c.host, "err", err)
		st.table, err = c.table(ctx)
	}
	if err != nil {
		return wire.Table{}, fmt.Errorf("read the chain of host %s: %w", c.host, err)
	}
	return st.table, nil
}

func (d *driver) startTable(ctx context.Context, host string, table wire.Table, next wire.Layout) error {
	table.Sequence = 0
	data, err := table.Encode()
	if err != nil {
		return fmt.Errorf("encode table of host %s: %w", host, err)
	}
	key := wire.TableKey(next.Stream(wire.Partition(host, next.Partitions)), host)
	if _, err = d.keys.bucket.Create(ctx, key, data); errors.Is(err, jetstream.ErrKeyExists) {
		return nil // by a driver before this one, from the same sealed stream
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	stopAt("one table")
	return nil
}

// clear deletes what is left of the layouts before: their streams and the tables for these. Their records stay, so that an archive that comes back
// knows what it may keep.
func (d *driver) clear(ctx context.Context, s standing) error {
	old, err := d.oldStreams(ctx, s.now)
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := d.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete stream %s: %w", name, err)
		}
		stopAt("one deleted")
	}
	if err := d.clearTables(ctx, s.now); err != nil {
		return err
	}
	stopAt("deleted")
	return d.keys.clear(ctx, s)
}

func (d *driver) oldStreams(ctx context.Context, now wire.Layout) (old []string, err error) {
	names := d.js.StreamNames(ctx)
	for name := range names.Name() {
		if isOld(name, now) {
			old = append(old, name)
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return old, nil
}

// isOld tells the streams of the hub's earlier layouts.
func isOld(stream string, now wire.Layout) bool {
	hub, layout, _, err := wire.ParseStream(stream)
	return err == nil && hub == now.Hub && layout < now.Number
}

// clearTables also finds those that a receiver has written late.
func (d *driver) clearTables(ctx context.Context, now wire.Layout) error {
	bucket, err := d.js.Stream(ctx, bucketName)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	tables, err := subjects(ctx, bucket, keySubject(wire.TableKeys("*")))
	if err != nil {
		return err
	}
	streams := map[string]bool{}
	for subject := range tables {
		name, _, _ := strings.Cut(strings.TrimPrefix(subject, keySubject("table.")), ".")
		if isOld(name, now) {
			streams[name] = true
		}
	}
	for name := range streams {
		if err := bucket.Purge(ctx, jetstream.WithPurgeSubject(keySubject(wire.TableKeys(name)))); err != nil {
			return fmt.Errorf("delete tables of stream %s: %w", name, err)
		}
	}
	return nil
}
