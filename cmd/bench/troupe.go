package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/lines"
	"github.com/logdrive/logdrive/receiver"
)

// troupe is a hub with several receivers, and hosts that each have one log.
type troupe struct {
	crew    *fleet.Crew
	nc      *nats.Conn
	js      jetstream.JetStream
	names   []string // of the receivers
	floors  *floors
	paths   []string   // of the logs, by host
	growths []*growths // of the hosts
	wrote   []written  // once they are written
}

// troupe starts a hub of so many nodes and receivers in dir and returns when those share the partitions.
func (b *benchmark) troupe(ctx context.Context, dir string, nodes, receivers int) (tr *troupe, err error) {
	crew, err := fleet.StartCrew(ctx, fleet.Config{Binary: b.binary, Dir: dir, Nodes: nodes, Codec: codecOfMoves, ReceiverFlags: []string{"--compress", "none"}})
	if err != nil {
		return nil, err
	}
	tr = &troupe{crew: crew}
	if err := tr.start(ctx, receivers); err != nil {
		tr.close()
		return nil, err
	}
	return tr, nil
}

func (tr *troupe) start(ctx context.Context, receivers int) (err error) {
	if tr.nc, err = tr.crew.Hub.Connect(); err != nil {
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
	_, err = tr.balanced(ctx)
	return err
}

// addHost watches how the log of a host grows in the archives.
func (tr *troupe) addHost(host, path string) {
	g := &growths{}
	for _, name := range tr.names {
		g.paths = append(g.paths, filepath.Join(tr.crew.Archive(name), "hosts", host, path))
	}
	tr.paths, tr.growths = append(tr.paths, path), append(tr.growths, g)
}

// during writes to all logs, so many lines a second together, and watches the archives while act runs.
func (tr *troupe) during(ctx context.Context, rate float64, every time.Duration, act func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writing, stop := context.WithCancel(ctx)
	group, watching := errgroup.WithContext(ctx)
	group.Go(func() error { return watchGrowth(watching, every, tr.growths) })
	group.Go(func() error { return tr.floors.run(watching) })
	group.Go(func() error { return tr.alive(watching) })
	group.Go(func() (err error) {
		defer cancel()
		tr.wrote, err = load{Host: "troupe", Format: lines.Combined, Seed: 1, Paths: tr.paths, Rate: rate}.run(writing)
		return err
	})
	group.Go(func() error {
		defer stop()
		return act(watching)
	})
	return group.Wait()
}

// aliveEvery is how often the agents are looked after.
const aliveEvery = time.Second

// alive ends with an error when agents have ended on their own, so that nobody waits for them.
func (tr *troupe) alive(ctx context.Context) error {
	for sleep(ctx, aliveEvery) == nil {
		if err := tr.crew.Alive(); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until everything written is archived, ends all, and checks every line and byte over all archives.
func (tr *troupe) settle(ctx context.Context) error {
	want := bytesOf(tr.wrote)
	if _, err := waitFor(ctx, func() time.Time { return since(tr.archived() == want) }); err != nil {
		return fmt.Errorf("%d of %d bytes in the archives: %w", tr.archived(), want, err)
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

var errNotBalanced = errors.New("the receivers do not share the partitions")

// balanced waits until the receivers that run own every partition, as the coordinator wants it, and as many each.
func (tr *troupe) balanced(ctx context.Context) ([]receiver.Standing, error) {
	for {
		all, err := tr.standings(ctx)
		if err == nil && isBalanced(all, len(tr.crew.Receivers()), tr.floors.layout.Partitions) {
			return all, nil
		}
		if stop := sleep(ctx, balanceEvery); stop != nil {
			return nil, fmt.Errorf("%w: %+v: %w", errNotBalanced, all, errors.Join(err, stop))
		}
	}
}

// answerWithin is how long the hub may take for what it is asked: a question to a node that leads nothing any more, or not yet, is never answered.
const answerWithin = 5 * time.Second

func (tr *troupe) standings(ctx context.Context) ([]receiver.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return receiver.Standings(ctx, tr.js)
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
	for host, g := range tr.growths {
		if _, err := waitFor(ctx, func() time.Time { return g.first(at, -1) }); err != nil {
			return nil, fmt.Errorf("%s does not go on: %w", tr.paths[host], err)
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
