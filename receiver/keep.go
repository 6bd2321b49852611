package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// keeper writes the tables of a partition's hosts to the hub and purges what is archived, by rules H1 and H2: only what the host's table covers, so
// nothing above the floor, and never the message at the table's own sequence, so never the head.
type keeper struct {
	*tenure
	stream  jetstream.Stream // a handle of its own: handles remember the last info
	tables  map[string]tableState
	markers map[string]uint64 // hosts whose head is a marker
	aged    time.Time         // when messages were last purged for their age
}

// tableState is the table of a host as it stands in the bucket.
type tableState struct {
	revision uint64 // 0: none
	sequence uint64
}

func newKeeper(t *tenure) *keeper {
	return &keeper{tenure: t, tables: map[string]tableState{}, markers: map[string]uint64{}}
}

func (k *keeper) run(ctx context.Context) error {
	var err error
	if k.stream, err = k.js.Stream(ctx, k.layout.Stream(k.number)); err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	tick := time.NewTicker(k.cfg.KeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case tables := <-k.keeping:
			err = k.write(ctx, tables)
		case <-tick.C:
			err = k.retain(ctx)
		}
		if err != nil && ctx.Err() == nil {
			k.log.Warn("cannot keep the stream in shape; trying again", "err", err)
		}
	}
}

// write puts tables into the bucket. One that fails is made anew with later changes of its host.
func (k *keeper) write(ctx context.Context, tables []hostTable) error {
	var errs []error
	for _, t := range tables {
		if err := k.writeOne(ctx, t); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// writeOne replaces a host's table by compare-and-set, never by an older one: what the newer one covers may be purged already.
func (k *keeper) writeOne(ctx context.Context, t hostTable) error {
	key := wire.TableKey(k.layout.Stream(k.number), t.host)
	now, err := k.state(ctx, t.host)
	if err != nil || now.sequence >= t.table.Sequence {
		return err
	}
	data, err := t.table.Encode()
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	var revision uint64
	if now.revision == 0 {
		revision, err = k.bucket.Create(ctx, key, data)
	} else {
		revision, err = k.bucket.Update(ctx, key, data, now.revision)
	}
	if err != nil {
		delete(k.tables, t.host)
		return fmt.Errorf("write %s: %w", key, err)
	}
	k.tables[t.host] = tableState{revision, t.table.Sequence}
	return nil
}

// state tells how the table of a host stands in the bucket, as far as possible from memory.
func (k *keeper) state(ctx context.Context, host string) (tableState, error) {
	if s, ok := k.tables[host]; ok {
		return s, nil
	}
	table, revision, err := k.readTable(ctx, host)
	if err != nil {
		return tableState{}, err
	}
	k.tables[host] = tableState{revision, table.Sequence}
	return k.tables[host], nil
}

// retain purges by age and, when the stream fills up, whatever may go.
func (k *keeper) retain(ctx context.Context) error {
	info, err := k.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at the stream: %w", err)
	}
	k.metrics.stream(k.number, info)
	select {
	case <-k.whole:
	default: // a restored archive still needs what the tables cover
		return nil
	}
	full := float64(info.State.Bytes) > k.cfg.HighWater*float64(k.layout.StreamBytes)
	if full {
		return k.purge(ctx, info.State.LastSeq+1, true)
	}
	if err := k.resize(ctx, k.layout.StreamBytes); err != nil || time.Since(k.aged) < k.cfg.Lookback/100 {
		return err
	}
	k.aged = time.Now()
	bound, err := k.sequenceAt(ctx, k.aged.Add(-k.cfg.Lookback))
	if err != nil {
		return err
	}
	return k.purge(ctx, bound, false)
}

// sequenceAt is the first sequence that was stored at or after the given time. The server finds it for a consumer that starts there.
func (k *keeper) sequenceAt(ctx context.Context, at time.Time) (uint64, error) {
	consumer, err := k.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, fmt.Errorf("find the age of messages: %w", err)
	}
	info := consumer.CachedInfo()
	if err := k.stream.DeleteConsumer(ctx, info.Name); err != nil {
		return 0, fmt.Errorf("find the age of messages: %w", err)
	}
	return info.Delivered.Stream + 1, nil
}

// purge removes the messages of every host below bound that the host's table covers. With demand, hosts whose table lags are asked for a newer one.
func (k *keeper) purge(ctx context.Context, bound uint64, demand bool) error {
	info, err := k.stream.Info(ctx, jetstream.WithSubjectFilter(wire.PartSubjects(k.layout.Number, k.number)))
	if err != nil {
		return fmt.Errorf("count the stream's hosts: %w", err)
	}
	var lagging []string
	for subject, count := range info.State.Subjects {
		host, err := wire.HostOfPart(subject)
		if err != nil { // no host has such a name: what came is in quarantine, no chain needs a head, and no table will ever cover it
			if err := k.purgeBelow(ctx, subject, min(bound, k.partition.Confirmed())); err != nil {
				return err
			}
			continue
		}
		if count < 2 {
			continue // the head alone stays
		}
		table, err := k.state(ctx, host)
		if err != nil {
			return err
		}
		lagging = append(lagging, host)
		if err := k.purgeBelow(ctx, subject, min(bound, table.sequence)); err != nil {
			return err
		}
	}
	if demand && len(lagging) == 0 {
		lagging, err = k.shrinkHeads(ctx, info.State.Subjects)
	}
	if demand {
		k.want(ctx, lagging)
	}
	return err
}

// want asks the appender for the tables of hosts. One that is busy with a full disk is asked again at the next look.
func (k *keeper) want(ctx context.Context, hosts []string) {
	if len(hosts) == 0 {
		return
	}
	select {
	case k.wanted <- hosts:
	case <-ctx.Done():
	case <-time.After(k.cfg.KeepEvery):
	}
}

// purgeBelow removes the messages of a subject before the given sequence. The server takes a purge up to sequence 0 for one of everything.
func (k *keeper) purgeBelow(ctx context.Context, subject string, sequence uint64) error {
	if sequence <= 1 {
		return nil
	}
	if err := k.stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(sequence)); err != nil {
		return fmt.Errorf("purge %s below %d: %w", subject, sequence, err)
	}
	return nil
}

// readTable reads a host's table from the bucket; without one it is empty and the revision 0.
func (k *tenure) readTable(ctx context.Context, host string) (wire.Table, uint64, error) {
	key := wire.TableKey(k.layout.Stream(k.number), host)
	entry, err := k.bucket.Get(ctx, key)
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

// tableAt is the host's table as of a sequence at or below the floor. A table that has gone on since cannot be taken back: then nothing is known, and
// the archive says so in its ledger rather than drop bytes.
func (t *tenure) tableAt(ctx context.Context, host string, sequence uint64) (wire.Table, error) {
	if sequence == 0 {
		return wire.Table{}, nil
	}
	table, _, err := t.readTable(ctx, host)
	if err != nil || table.Sequence == sequence {
		return table, err
	}
	if table.Sequence > sequence {
		return wire.Table{}, nil
	}
	subject := wire.PartSubject(t.layout.Number, t.number, host)
	_, err = wire.Follow(ctx, t.stream, subject, &table, sequence) // only an owner purges, and there is none now
	return table, err
}
