package receiver

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// keeper purges what is archived of one partition, by rules H1 and H2: only what the host's table covers, so nothing above the floor, and never the message at
// the table's own sequence, so never the head. The coordinator has one for each partition; that of a frozen coordinator does no harm, for the floor never goes back.
type keeper struct {
	*session
	number  int
	stream  jetstream.Stream
	tables  *tables
	floor   uint64            // as the record said at this look
	markers map[string]uint64 // hosts whose head is a marker
	aged    time.Time         // when messages were last purged for their age
	drained uint64            // the floor when messages were last purged for room
	told    time.Time         // when it was last said that the stream is full of heads
}

func newKeeper(s *session, number int) *keeper {
	return &keeper{session: s, number: number, tables: newTables(s.bucket, s.layout.Stream(number)), markers: map[string]uint64{}}
}

// soonest is the pause after a look that made room: a small stream that a backlog fills is full again at once, and moves no more than its size from look to look.
const soonest = 20 * time.Millisecond

// run looks at the partition until ctx ends: as often as agents fill what it frees, else every KeepEvery. Each request of a look has the time that the client gives
// it, and no longer: with a deadline for the whole, one whose answer was lost with a connection or a node would wait for that, while the stream fills up and agents with it.
func (k *keeper) run(ctx context.Context, looks chan struct{}) error {
	wait := k.cfg.KeepEvery
	for {
		if err := pause(ctx, wait); err != nil {
			return err
		}
		select {
		case looks <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		freed, err := k.keep(ctx)
		<-looks
		if err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("cannot keep the stream in shape; trying again", "partition", k.number, "err", err)
		}
		if wait = min(2*wait, k.cfg.KeepEvery); freed {
			wait = min(soonest, k.cfg.KeepEvery)
		}
	}
}

// keep looks at the partition once. It says whether there was need of room and more to purge than the last time.
func (k *keeper) keep(ctx context.Context) (freed bool, err error) {
	if k.stream == nil {
		if k.stream, err = k.js.Stream(ctx, k.layout.Stream(k.number)); err != nil {
			return false, fmt.Errorf("open stream: %w", err)
		}
	}
	records := recordStore{bucket: k.bucket, key: wire.RecordKey(k.layout.Number, k.number)}
	if err := records.read(ctx); err != nil {
		return false, err
	}
	k.floor = records.record.Floor
	info, err := k.stream.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the stream: %w", err)
	}
	k.metrics.stream(k.number, info)
	if k.roster.healing(k.number) { // a restored archive still needs what the tables cover
		return false, nil
	}
	if float64(info.State.Bytes) > k.cfg.HighWater*float64(k.layout.StreamBytes) {
		return k.makeRoom(ctx, info.State.LastSeq)
	}
	return false, k.retain(ctx)
}

// makeRoom purges whatever may go from a stream that fills up.
func (k *keeper) makeRoom(ctx context.Context, last uint64) (freed bool, err error) {
	if err := k.purge(ctx, last+1, true); err != nil {
		return false, err
	}
	freed = k.floor > k.drained
	k.drained = k.floor
	return freed, nil
}

// retain purges by age, and gives a stream that was widened its size again.
func (k *keeper) retain(ctx context.Context) error {
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
		HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
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

// purge removes the messages of every host below bound that the host's table covers. With demand, tables that lag are brought up to the floor.
func (k *keeper) purge(ctx context.Context, bound uint64, demand bool) error {
	info, err := k.stream.Info(ctx, jetstream.WithSubjectFilter(wire.PartSubjects(k.layout.Number, k.number)))
	if err != nil {
		return fmt.Errorf("count the stream's hosts: %w", err)
	}
	purged := false
	for subject, count := range info.State.Subjects {
		if k.roster.healing(k.number) { // since this look began
			return nil
		}
		host, err := wire.HostOfPart(subject)
		if err != nil { // no host has such a name: what came is in quarantine, no chain needs a head, and no table will ever cover it
			if err := k.purgeBelow(ctx, subject, min(bound, k.floor)); err != nil {
				return err
			}
			continue
		}
		if count < 2 {
			continue // the head alone stays
		}
		covered, err := k.covered(ctx, host, subject, demand)
		if err != nil {
			return err
		}
		purged = true
		if err := k.purgeBelow(ctx, subject, min(bound, covered)); err != nil {
			return err
		}
	}
	if demand && !purged {
		return k.shrinkHeads(ctx, info.State.Subjects)
	}
	return nil
}

// covered is up to where a host's table in the bucket goes, with demand after it was brought up to the floor.
func (k *keeper) covered(ctx context.Context, host, subject string, demand bool) (uint64, error) {
	if !demand {
		table, err := k.tables.look(ctx, host)
		return table.Sequence, err
	}
	table, err := k.tables.at(ctx, k.stream, subject, host, k.floor)
	if err != nil {
		return 0, err
	}
	return table.Sequence, k.tables.write(ctx, host, table)
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
