package receiver

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
)

// group is what one commit makes durable, with what is to be done once the record says so.
type group struct {
	commit   *archive.Commit
	messages int
	replies  []string    // of its messages
	oldest   time.Time   // when the hub had its first message
	tables   []hostTable // as of its border
	last     bool        // nothing was waiting to be appended behind it
}

// hostTable is a host's table that may be written once the floor covers it.
type hostTable struct {
	host  string
	table wire.Table
}

// committer makes groups durable, one after the other, moves the floor and then acks.
type committer struct {
	*tenure
	healing bool
	done    uint64 // committed, and not yet the floor
	bytes   int64  // raw, committed since the floor was moved
	moved   time.Time
	replies []string
	tables  []hostTable
}

// run commits what comes until in is closed, and moves the floor a last time then. On an error nothing more may be written: the partition is opened anew.
func (c *committer) run(ctx context.Context, in <-chan *group) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	c.moved = time.Now()
	for {
		select {
		case g, open := <-in:
			if !open {
				return cmp.Or(c.moveFloor(ctx), errStopped)
			}
			if err := c.commit(g); err != nil {
				return err
			}
			if c.urgent(g) {
				if err := c.moveFloor(ctx); err != nil {
					return err
				}
			}
			timer.Reset(time.Until(c.moved.Add(c.cfg.FloorEvery)))
		case <-timer.C:
			if err := c.moveFloor(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *committer) commit(g *group) error {
	if err := c.at("commit"); err != nil {
		return err
	}
	start := time.Now()
	if err := g.commit.Do(); err != nil {
		return fmt.Errorf("commit up to %d: %w", g.commit.Sequence(), err)
	}
	c.metrics.committed(time.Since(start), g)
	c.health.working()
	c.done = max(c.done, g.commit.Sequence())
	c.bytes += g.commit.Bytes()
	c.replies = append(c.replies, g.replies...)
	c.tables = append(c.tables, g.tables...)
	return nil
}

func (c *committer) urgent(g *group) bool {
	return g.last || c.bytes >= c.cfg.FloorBytes || time.Since(c.moved) >= c.cfg.FloorEvery
}

// moveFloor is the receiver's receipt: the record says that everything up to the floor is archived, and only then are the messages acked and may be purged.
func (c *committer) moveFloor(ctx context.Context) error {
	c.moved = time.Now()
	if c.healing { // the floor has long passed what is read again
		return nil
	}
	if floor := c.records.record.Floor; c.done > floor {
		next, err := c.records.record.Advance(c.done)
		if err != nil {
			return err
		}
		if err := c.at("floor"); err != nil {
			return err
		}
		if err := c.records.write(ctx, next); err != nil {
			return err
		}
		if err := c.at("floor written"); err != nil {
			return err
		}
		c.partition.Confirm(c.done)
	}
	c.bytes = 0
	for _, reply := range c.replies {
		// A lost ack costs a wrong figure in the consumer's report, nothing else.
		_ = c.nc.Publish(reply, ack)
	}
	c.replies = c.replies[:0]
	return c.handTables(ctx)
}

var ack = []byte("+ACK")

// handTables gives the tables to the keeper, who writes them to the hub.
func (c *committer) handTables(ctx context.Context) error {
	if len(c.tables) == 0 {
		return nil
	}
	select {
	case c.keeping <- c.tables:
		c.tables = nil
	case <-ctx.Done():
		return ctx.Err()
	default: // the keeper is busy: with the next floor
	}
	return nil
}
