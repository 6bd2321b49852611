package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

const (
	nodesHere  = 3
	aftermath  = 5 * time.Second        // in which a pause must begin to count as the consequence of what was done
	onTheWay   = 16                     // batches that a replica may lack: under load there is always one that it does not have yet
	wholeEvery = 100 * time.Millisecond // how often the hub is asked whether it is whole
)

// loss is how long hosts stood still when a hub node ended or came back: each host's longest pause, each time.
type loss struct {
	name     string
	stored   latencies // between two batches in the stream
	archived latencies // until the source grows in the archive
}

func (l *loss) add(stored, archived time.Duration) {
	l.stored, l.archived = append(l.stored, stored), append(l.archived, archived)
}

func (b *benchmark) failoverHub() scenario {
	return scenario{"failover-hub", 3 * b.limit, func(ctx context.Context, t *table) error {
		all, err := b.failoverHubOnce(ctx)
		if err != nil {
			return err
		}
		for _, l := range all {
			t.lost(l)
		}
		return nil
	}}
}

// failoverHubOnce kills, stops and restarts the nodes of a hub, one after the other, while every partition is written to. There is one receiver: what is seen is the hub's doing.
func (b *benchmark) failoverHubOnce(ctx context.Context) ([]loss, error) {
	dir, err := os.MkdirTemp(b.dir, "failover-hub-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tr, err := b.troupe(ctx, dir, nodesHere, 1)
	if err != nil {
		return nil, err
	}
	defer tr.close()
	if err := tr.oneInEach(dir); err != nil {
		return nil, err
	}
	play := newNodePlay(tr)
	err = tr.during(ctx, failoverRate, growthEvery, func(ctx context.Context) error {
		for i := range b.moves {
			if err := play.round(ctx, i); err != nil {
				return err
			}
			for _, l := range play.losses() {
				fmt.Fprintf(b.notes, "  %s: stored %s ms, archived %s ms\n", l.name, l.stored.span(), l.archived.span())
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return play.losses(), tr.settle(ctx)
}

// nodePlay is what is measured in all rounds.
type nodePlay struct {
	*troupe
	hosts      []string
	kill, stop map[share]*loss
	back       loss
}

// share is what a host has of a node.
type share struct{ leader, link bool }

// shares in the order of the table.
var shares = []share{{true, true}, {true, false}, {false, true}, {false, false}}

func (s share) String() string {
	switch s {
	case share{true, true}:
		return "it led the partition, and the agent was linked to it"
	case share{true, false}:
		return "it led the partition"
	case share{false, true}:
		return "the agent was linked to it"
	}
	return "neither"
}

func newNodePlay(tr *troupe) *nodePlay {
	p := &nodePlay{troupe: tr, hosts: hostsInEach(tr.floors.layout.Partitions), kill: map[share]*loss{}, stop: map[share]*loss{}, back: loss{name: "the node comes back"}}
	for _, s := range shares {
		p.kill[s], p.stop[s] = &loss{name: "kill -9; " + s.String()}, &loss{name: "SIGTERM; " + s.String()}
	}
	return p
}

func (p *nodePlay) losses() (all []loss) {
	for _, kind := range []map[share]*loss{p.kill, p.stop} {
		for _, s := range shares {
			all = append(all, *kind[s])
		}
	}
	all = append(all, p.back)
	for _, l := range all {
		slices.Sort(l.stored)
		slices.Sort(l.archived)
	}
	return all
}

// round kills a node and brings it back, then does the same to the next one with a signal.
func (p *nodePlay) round(ctx context.Context, i int) error {
	nodes := p.crew.Hub.Nodes
	victim, next := nodes[i%len(nodes)], nodes[(i+1)%len(nodes)]
	if err := p.end(ctx, victim, victim.Kill, p.kill); err != nil {
		return err
	}
	return p.end(ctx, next, func() error { return next.Stop(stopNodeWithin) }, p.stop)
}

const stopNodeWithin = 30 * time.Second

// end ends a node, sees what that does to each host, and brings it back.
func (p *nodePlay) end(ctx context.Context, victim *fleet.Node, end func() error, losses map[share]*loss) error {
	leaders, err := p.whole(ctx)
	if err != nil {
		return err
	}
	var had []share
	for i, host := range p.hosts {
		link, err := p.crew.Hub.LinkedTo(host)
		if err != nil {
			return err
		}
		had = append(had, share{leaders[i] == victim, link == victim})
	}
	if err := p.pauses(ctx, end, func(host int, stored, archived time.Duration) { losses[had[host]].add(stored, archived) }); err != nil {
		return err
	}
	return p.pauses(ctx, func() error {
		if err := p.crew.Hub.Restart(ctx, victim); err != nil {
			return err
		}
		_, err := p.whole(ctx)
		return err
	}, func(_ int, stored, archived time.Duration) { p.back.add(stored, archived) })
}

// pauses does something to the hub and tells the longest pause of each host from then until a while after.
func (p *nodePlay) pauses(ctx context.Context, do func() error, tell func(host int, stored, archived time.Duration)) error {
	from := time.Now()
	if err := do(); err != nil {
		return err
	}
	if err := sleep(ctx, aftermath); err != nil {
		return err
	}
	to := time.Now()
	for host, g := range p.growths {
		if _, err := waitFor(ctx, func() time.Time { return g.first(to, -1) }); err != nil {
			return fmt.Errorf("%s does not go on: %w", p.hosts[host], err)
		}
		times, err := p.stored(ctx, host, from.Add(-aftermath))
		if err != nil {
			return err
		}
		tell(host, longestPause(times, from, to), g.pause(from, to))
	}
	return nil
}

// whole waits until every stream has all its copies and no node leads two more partitions than another, and tells who leads which. A hub that does not answer is not whole.
func (p *nodePlay) whole(ctx context.Context) (leaders []*fleet.Node, err error) {
	for {
		leaders, err = p.leaders(ctx)
		if err == nil {
			return leaders, nil
		}
		if stop := sleep(ctx, wholeEvery); stop != nil {
			return nil, fmt.Errorf("the hub does not become whole: %w: %w", err, stop)
		}
	}
}

var errNotWhole = errors.New("not whole")

func (p *nodePlay) leaders(ctx context.Context) ([]*fleet.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	at := map[string]string{}
	list := p.js.ListStreams(ctx)
	for info := range list.Info() {
		if !isWhole(info.Cluster) {
			return nil, fmt.Errorf("stream %s: %w", info.Config.Name, errNotWhole)
		}
		at[info.Config.Name] = info.Cluster.Leader
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	var leaders []*fleet.Node
	leads := map[*fleet.Node]int{}
	for _, n := range p.crew.Hub.Nodes {
		leads[n] = 0
	}
	for partition := range p.floors.layout.Partitions {
		leader := p.crew.Hub.Named(at[p.floors.layout.Stream(partition)])
		leaders = append(leaders, leader)
		leads[leader]++
	}
	if !even(leads) {
		return nil, fmt.Errorf("leaders are not spread: %w", errNotWhole)
	}
	return leaders, nil
}

func isWhole(c *jetstream.ClusterInfo) bool {
	return c != nil && c.Leader != "" && len(c.Replicas) == nodesHere-1 &&
		!slices.ContainsFunc(c.Replicas, func(r *jetstream.PeerInfo) bool {
			return r.Offline || r.Active > time.Second || !r.Current && (r.Active == 0 || r.Lag > onTheWay)
		})
}

// even says that no node leads two more than another.
func even(leads map[*fleet.Node]int) bool {
	var all []int
	for _, n := range leads {
		all = append(all, n)
	}
	return slices.Max(all)-slices.Min(all) <= 1
}

// stored reads when the batches of a host came to stand in the stream since a time. The streams still hold them: that is exact, and disturbs nothing meanwhile.
func (p *nodePlay) stored(ctx context.Context, host int, since time.Time) (times []time.Time, err error) {
	layout := p.floors.layout
	consumer, err := p.js.OrderedConsumer(ctx, layout.Stream(host), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{wire.PartSubject(layout.Number, host, p.hosts[host])}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
	if err != nil {
		return nil, fmt.Errorf("read headers: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, fmt.Errorf("read headers: %w", err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("read headers: %w", err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, fmt.Errorf("read headers: %w", err)
		}
		times = append(times, meta.Timestamp)
		if meta.NumPending == 0 {
			return times, nil
		}
	}
}
