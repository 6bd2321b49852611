package receiver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// tables reads and writes the tables of a partition's hosts. The partition's owner and the coordinator both do: a table is a pure function of the chain, so it does
// not matter who wrote it, as long as none goes back.
type tables struct {
	bucket jetstream.KeyValue
	stream string
	known  map[string]tableState // by host; of one goroutine
}

// tableState is a table as it stands in the bucket, as far as this process knows.
type tableState struct {
	revision uint64 // 0: none
	sequence uint64
}

func newTables(bucket jetstream.KeyValue, stream string) *tables {
	return &tables{bucket: bucket, stream: stream, known: map[string]tableState{}}
}

// read is a host's table in the bucket; without one it is empty and the revision 0.
func (s *tables) read(ctx context.Context, host string) (wire.Table, uint64, error) {
	key := wire.TableKey(s.stream, host)
	entry, err := s.bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return wire.Table{}, 0, nil
	}
	if err != nil {
		return wire.Table{}, 0, fmt.Errorf("read %s: %w", key, err)
	}
	table, err := wire.DecodeTable(entry.Value())
	if err != nil {
		return wire.Table{}, 0, fmt.Errorf("read %s: %w", key, err)
	}
	return table, entry.Revision(), nil
}

// hosts lists whose tables the bucket holds. It asks the stream below: a listing of keys that breaks off looks like one that is complete.
func (s *tables) hosts(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	const prefix = "$KV." + wire.Bucket + "."
	stream, err := js.Stream(ctx, "KV_"+wire.Bucket)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+wire.TableKeys(s.stream)))
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var hosts []string
	for subject := range info.State.Subjects {
		if host, err := wire.HostOfTable(strings.TrimPrefix(subject, prefix)); err == nil {
			hosts = append(hosts, host)
		}
	}
	return hosts, nil
}

// writeTries bounds how often a write starts over because another process wrote the same table.
const writeTries = 3

// write replaces a host's table by compare-and-set, never by an older one: what the newer one covers may be purged already.
func (s *tables) write(ctx context.Context, host string, table wire.Table) error {
	data, err := table.Encode()
	if err != nil {
		return fmt.Errorf("encode table of host %s: %w", host, err)
	}
	for range writeTries {
		var now tableState
		if now, err = s.state(ctx, host); err != nil || now.sequence >= table.Sequence {
			return err
		}
		var revision uint64
		if revision, err = compareAndSet(ctx, s.bucket, wire.TableKey(s.stream, host), data, now.revision); err == nil {
			s.known[host] = tableState{revision, table.Sequence}
			return nil
		}
		delete(s.known, host)
	}
	return fmt.Errorf("write table of host %s: %w", host, err)
}

// state tells how the table of a host stands in the bucket, as far as possible from memory.
func (s *tables) state(ctx context.Context, host string) (tableState, error) {
	if now, ok := s.known[host]; ok {
		return now, nil
	}
	table, err := s.look(ctx, host)
	return tableState{s.known[host].revision, table.Sequence}, err
}

// look reads a table and remembers how it stands.
func (s *tables) look(ctx context.Context, host string) (wire.Table, error) {
	table, revision, err := s.read(ctx, host)
	if err == nil {
		s.known[host] = tableState{revision, table.Sequence}
	}
	return table, err
}

// at is the host's table as of a sequence at or below the floor, brought up by the headers behind the one in the bucket. The one in the bucket may be of a
// later sequence: it cannot be taken back. Headers that do not link up mean that a purge ran meanwhile, and then the table was written anew before; or that
// the hub has lost a message, or one is no agent's: what there is counts then, as it does for the archive.
func (s *tables) at(ctx context.Context, stream jetstream.Stream, subject, host string, sequence uint64) (wire.Table, error) {
	for {
		table, err := s.look(ctx, host)
		if err != nil || table.Sequence >= sequence {
			return table, err
		}
		begun := s.known[host]
		linked, err := wire.Follow(ctx, stream, subject, &table, sequence)
		if err != nil {
			return table, err
		}
		if linked {
			behind, err := lagged(ctx, stream, subject, table.Sequence, sequence)
			if err != nil || !behind {
				return table, err
			}
			if err := pause(ctx, replicaPause); err != nil {
				return table, err
			}
			continue
		}
		if _, err := s.look(ctx, host); err != nil || s.known[host] == begun {
			return table, err
		}
	}
}

// replicaPause is for a replica that is behind. The next reading may ask another.
const replicaPause = 100 * time.Millisecond

// lagged asks the stream's leader whether a chain has messages between what was read of it and the sequence up to which it should be. Headers are read through a consumer, which may run
// on a replica that does not have the last ones yet: with the table they give, a host's next batch would look like one that does not follow.
func lagged(ctx context.Context, stream jetstream.Stream, subject string, read, sequence uint64) (bool, error) {
	if read >= sequence || stream.CachedInfo().Config.Replicas < 2 {
		return false, nil
	}
	next, err := stream.GetMsg(ctx, read+1, jetstream.WithGetMsgSubject(subject))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask for what follows %d of %s: %w", read, subject, err)
	}
	return next.Sequence <= sequence, nil
}

// tabler writes the tables of an owner's hosts to the hub, once the floor has passed them. One goroutine; what fails is tried again.
type tabler struct {
	*tenure
	tables  *tables
	waiting map[string]wire.Table
}

func newTabler(t *tenure) *tabler {
	return &tabler{tenure: t, tables: newTables(t.bucket, t.layout.Stream(t.number)), waiting: map[string]wire.Table{}}
}

func (w *tabler) run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.KeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case made := <-w.keeping:
			for _, m := range made {
				w.waiting[m.host] = m.table
			}
		case <-tick.C:
		}
		w.writeAll(ctx)
	}
}

func (w *tabler) writeAll(ctx context.Context) {
	for host, table := range w.waiting {
		if err := w.tables.write(ctx, host, table); err != nil {
			if ctx.Err() == nil {
				w.log.Warn("cannot write a table; trying again", "err", err)
			}
			return
		}
		delete(w.waiting, host)
	}
}
