package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cmd/bench/lines"
	"github.com/logdrive/logdrive/receiver"
)

const (
	failoverRate  = 1600                   // lines a second, over one host in each partition
	growthEvery   = 2 * time.Millisecond   // how often archives are looked at: the error of the pauses
	balanceEvery  = 50 * time.Millisecond  // how often the hub is asked who owns what
	calmAfter     = 500 * time.Millisecond // from balance until a window ends, so that it holds the pauses
	codecOfMoves  = "s2"                   // the default
	receiversHere = 3
)

// moved is how long partitions stood still when they moved, by why.
type moved struct {
	name    string
	moves   int       // of partitions
	pauses  latencies // until the source grows elsewhere, or its longest pause
	durable latencies // until the new owner has moved the floor; empty for planned moves
}

func (b *benchmark) failover() scenario {
	return scenario{"failover", 3 * b.limit, func(ctx context.Context, t *table) error {
		all, err := b.failoverOnce(ctx)
		if err != nil {
			return err
		}
		for _, m := range all {
			t.moved(m)
		}
		return nil
	}}
}

// failoverOnce breaks and moves receivers, a few times each, while every partition is written to.
func (b *benchmark) failoverOnce(ctx context.Context) ([]moved, error) {
	dir, err := os.MkdirTemp(b.dir, "failover-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tr, err := b.troupe(ctx, dir, receiversHere)
	if err != nil {
		return nil, err
	}
	defer tr.close()
	var play play
	err = tr.during(ctx, func(ctx context.Context) error {
		for range b.moves {
			if err := play.round(ctx, tr); err != nil {
				return err
			}
			for _, m := range play.moved() {
				fmt.Fprintf(b.notes, "  %s: %s ms\n", m.name, m.pauses.span())
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return play.moved(), tr.settle(ctx)
}

// play is what is measured in all rounds.
type play struct {
	owner, coordinator, leave, join, still moved
}

func (p *play) moved() []moved {
	p.owner.name, p.coordinator.name = "kill -9 an owner", "kill -9 the coordinator, an owner too"
	p.leave.name, p.join.name, p.still.name = "SIGTERM", "a receiver joins", "not moved meanwhile"
	all := []moved{p.owner, p.coordinator, p.leave, p.join, p.still}
	for i := range all {
		slices.Sort(all[i].pauses)
		slices.Sort(all[i].durable)
	}
	return all
}

// round kills a receiver that does not coordinate, then the one that does, and lets one leave and come back.
func (p *play) round(ctx context.Context, tr *troupe) error {
	if err := p.kill(ctx, tr, false, &p.owner); err != nil {
		return err
	}
	if err := p.kill(ctx, tr, true, &p.coordinator); err != nil {
		return err
	}
	name, err := tr.pick(ctx, false)
	if err != nil {
		return err
	}
	if err := p.planned(ctx, tr, &p.leave, func() error { return tr.crew.Leave(name.Name) }); err != nil {
		return err
	}
	return p.planned(ctx, tr, &p.join, func() error { return tr.crew.Join(ctx, name.Name) })
}

// kill ends a receiver without warning, waits until each of its partitions is archived elsewhere, and brings it back.
func (p *play) kill(ctx context.Context, tr *troupe, coordinator bool, m *moved) error {
	victim, err := tr.pick(ctx, coordinator)
	if err != nil {
		return err
	}
	at := time.Now()
	if err := tr.crew.KillReceiver(victim.Name); err != nil {
		return err
	}
	archive := slices.Index(tr.names, victim.Name)
	for _, partition := range victim.Partitions {
		grown, err := waitFor(ctx, func() time.Time { return tr.growths[partition].first(at, archive) })
		if err != nil {
			return fmt.Errorf("partition %d of %s does not go on: %w", partition, victim.Name, err)
		}
		durable, err := waitFor(ctx, func() time.Time { return tr.floors.first(partition, at, victim.ID) })
		if err != nil {
			return fmt.Errorf("floor of partition %d of %s does not move: %w", partition, victim.Name, err)
		}
		m.moves++
		m.pauses, m.durable = append(m.pauses, grown.Sub(at)), append(m.durable, durable.Sub(at))
	}
	if _, err := tr.balanced(ctx); err != nil {
		return err
	}
	return tr.crew.Join(ctx, victim.Name)
}

// planned makes partitions move in good order, and takes the longest pause of each.
func (p *play) planned(ctx context.Context, tr *troupe, m *moved, do func() error) error {
	before, err := tr.calm(ctx)
	if err != nil {
		return err
	}
	from := time.Now()
	if err := do(); err != nil {
		return err
	}
	after, err := tr.calm(ctx)
	if err != nil {
		return err
	}
	to := time.Now()
	for partition, g := range tr.growths {
		pause := g.pause(from, to)
		if ownerOf(before, partition) == ownerOf(after, partition) {
			p.still.pauses = append(p.still.pauses, pause)
			continue
		}
		m.moves++
		m.pauses = append(m.pauses, pause)
	}
	return nil
}

func ownerOf(all []receiver.Standing, partition int) string {
	i := slices.IndexFunc(all, func(s receiver.Standing) bool { return slices.Contains(s.Partitions, partition) })
	if i < 0 {
		return ""
	}
	return all[i].ID
}

// during writes to one host in every partition and watches the archives while act runs.
func (tr *troupe) during(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writing, stop := context.WithCancel(ctx)
	group, watching := errgroup.WithContext(ctx)
	group.Go(func() error { return watchGrowth(watching, growthEvery, tr.growths) })
	group.Go(func() error { return tr.floors.run(watching) })
	l := load{Host: "failover", Format: lines.Combined, Seed: 1, Paths: tr.paths, Rate: failoverRate}
	group.Go(func() (err error) {
		defer cancel()
		tr.wrote, err = l.run(writing)
		return err
	})
	group.Go(func() error {
		defer stop()
		return act(watching)
	})
	return group.Wait()
}

// settle waits until everything written is archived, ends all, and checks every line and byte over all archives.
func (tr *troupe) settle(ctx context.Context) error {
	if _, err := waitFor(ctx, func() time.Time { return since(tr.archived() == bytesOf(tr.wrote)) }); err != nil {
		return fmt.Errorf("%d of %d bytes in the archives: %w", tr.archived(), bytesOf(tr.wrote), err)
	}
	if err := tr.crew.Stop(); err != nil {
		return err
	}
	var dirs []string
	for _, name := range tr.names {
		dirs = append(dirs, tr.crew.Archive(name))
	}
	return verifyArchives(dirs, tr.wrote, tr.paths...)
}

// since is now if it is so, else the zero time.
func since(is bool) time.Time {
	if !is {
		return time.Time{}
	}
	return time.Now()
}

// archived counts the bytes in all archives; what cannot be read now is not counted.
func (tr *troupe) archived() (sum int64) {
	for _, name := range tr.names {
		_ = filepath.WalkDir(filepath.Join(tr.crew.Archive(name), "hosts"), func(_ string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					sum += info.Size()
				}
			}
			return nil
		})
	}
	return sum
}

var errNotBalanced = errors.New("the receivers do not share the partitions")
