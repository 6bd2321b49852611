package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/receiver"
)

// troupe is a hub with several receivers, and an agent for one host in every partition.
type troupe struct {
	crew    *fleet.Crew
	nc      *nats.Conn
	js      jetstream.JetStream
	names   []string   // of the receivers
	paths   []string   // of the logs, by partition
	growths []*growths // of the hosts, by partition
	floors  *floors
	wrote   []written
}

// troupe starts all in dir and returns when the receivers share the partitions.
func (b *benchmark) troupe(ctx context.Context, dir string, receivers int) (tr *troupe, err error) {
	crew, err := fleet.StartCrew(ctx, fleet.Config{Binary: b.binary, Dir: dir, Codec: codecOfMoves, ReceiverFlags: []string{"--compress", "none"}})
	if err != nil {
		return nil, err
	}
	tr = &troupe{crew: crew}
	if err := tr.start(ctx, dir, receivers); err != nil {
		tr.close()
		return nil, err
	}
	return tr, nil
}

func (tr *troupe) start(ctx context.Context, dir string, receivers int) (err error) {
	if tr.nc, err = tr.crew.Connect(); err != nil {
		return err
	}
	if tr.js, err = jetstream.New(tr.nc); err != nil {
		return err
	}
	if tr.floors, err = newFloors(ctx, tr.js); err != nil {
		return err
	}
	for i := range receivers {
		name := string(rune('a' + i))
		tr.names = append(tr.names, name)
		if err := tr.crew.Join(ctx, name); err != nil {
			return err
		}
	}
	for p := range tr.floors.layout.Partitions {
		if err := tr.addHost(dir, p); err != nil {
			return err
		}
	}
	_, err = tr.balanced(ctx)
	return err
}

// addHost starts an agent for a host whose name falls into the partition.
func (tr *troupe) addHost(dir string, partition int) error {
	host := ""
	for i := 0; host == "" || wire.Partition(host, tr.floors.layout.Partitions) != partition; i++ {
		host = fmt.Sprintf("host-%d", i)
	}
	path := filepath.Join(dir, host+".log")
	g := &growths{}
	for _, name := range tr.names {
		g.paths = append(g.paths, filepath.Join(tr.crew.Archive(name), "hosts", host, path))
	}
	tr.paths, tr.growths = append(tr.paths, path), append(tr.growths, g)
	return tr.crew.StartAgent(host, path)
}

// close ends what was not ended before.
func (tr *troupe) close() {
	if tr.nc != nil {
		tr.nc.Close()
	}
	_ = tr.crew.Kill()
}

// waitFor polls until seen tells a time.
func waitFor(ctx context.Context, seen func() time.Time) (time.Time, error) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		if at := seen(); !at.IsZero() {
			return at, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// balanced waits until the receivers that run own every partition, as the coordinator wants it, and as many each.
func (tr *troupe) balanced(ctx context.Context) ([]receiver.Standing, error) {
	for {
		all, err := receiver.Standings(ctx, tr.js)
		if err != nil {
			return nil, err
		}
		if isBalanced(all, len(tr.crew.Receivers()), tr.floors.layout.Partitions) {
			return all, nil
		}
		if err := sleep(ctx, balanceEvery); err != nil {
			return nil, fmt.Errorf("%w: %+v: %w", errNotBalanced, all, err)
		}
	}
}

func isBalanced(all []receiver.Standing, receivers, partitions int) bool {
	if len(all) != receivers {
		return false
	}
	owned, coordinators := 0, 0
	for _, s := range all {
		least := partitions / receivers
		if !s.Alive || !slices.Equal(s.Partitions, s.Wished) || len(s.Partitions) < least || len(s.Partitions) > least+1 {
			return false
		}
		owned += len(s.Partitions)
		if s.Coordinator {
			coordinators++
		}
	}
	return owned == partitions && coordinators == 1
}

// calm waits until the receivers share the partitions and every source has grown since, then a little.
func (tr *troupe) calm(ctx context.Context) ([]receiver.Standing, error) {
	all, err := tr.balanced(ctx)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	for p, g := range tr.growths {
		if _, err := waitFor(ctx, func() time.Time { return g.first(at, -1) }); err != nil {
			return nil, fmt.Errorf("partition %d does not go on: %w", p, err)
		}
	}
	return all, sleep(ctx, calmAfter)
}

// pick finds, when all is calm, the receiver that coordinates or one that does not.
func (tr *troupe) pick(ctx context.Context, coordinator bool) (receiver.Standing, error) {
	all, err := tr.calm(ctx)
	if err != nil {
		return receiver.Standing{}, err
	}
	i := slices.IndexFunc(all, func(s receiver.Standing) bool { return s.Coordinator == coordinator })
	return all[i], nil
}
