package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

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
	tr, err := b.troupe(ctx, dir, 1, receiversHere)
	if err != nil {
		return nil, err
	}
	defer tr.close()
	if err := tr.oneInEach(dir); err != nil {
		return nil, err
	}
	var play play
	err = tr.during(ctx, failoverRate, growthEvery, func(ctx context.Context) error {
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

// oneInEach starts an agent for a host in every partition: host and partition have the same number from then on.
func (tr *troupe) oneInEach(dir string) error {
	for _, host := range hostsInEach(tr.floors.layout.Partitions) {
		path := filepath.Join(dir, host+".log")
		tr.addHost(host, path)
		if err := tr.crew.StartAgent(host, path); err != nil {
			return err
		}
	}
	return nil
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
