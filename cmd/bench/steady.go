package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/lines"
)

// watchEvery is how often the one file of a steady run is looked at: the error of its latencies.
const watchEvery = 200 * time.Microsecond

// steadied is one run at a steady rate.
type steadied struct {
	took    time.Duration
	cost    []cost
	own     time.Duration // CPU time of this process: it writes the lines and watches for them
	visible latencies
	durable latencies
}

func (b *benchmark) steady(rate int, codec string) scenario {
	name := fmt.Sprintf("steady-%dk-%s", rate/1000, codec)
	return scenario{name, b.limit, func(ctx context.Context, t *table) error {
		r, err := b.steadyOnce(ctx, rate, codec)
		if err != nil {
			return err
		}
		t.steady(name, r)
		return nil
	}}
}

func (b *benchmark) steadyOnce(ctx context.Context, rate int, codec string) (steadied, error) {
	var r steadied
	dir, err := os.MkdirTemp(b.dir, "steady-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	f, clean, err := b.fleet(ctx, fleet.Config{Codec: codec})
	if err != nil {
		return r, err
	}
	defer clean()
	path := filepath.Join(dir, "app.log")
	l := load{Host: host, Format: lines.Combined, Seed: 1, Paths: []string{path}, Rate: float64(rate), Duration: b.warmup + time.Duration(b.seconds)*time.Second}
	o := observation{fleet: f, followers: []*follower{{path: inArchive(f, path)}}, every: watchEvery}
	if err := f.StartAgent(host, path); err != nil {
		return r, err
	}
	if err := o.during(ctx, l, b.warmup); err != nil {
		return r, err
	}
	r = steadied{took: o.to.Sub(o.from), cost: costs(f, o.before, o.after), own: o.own, visible: visibleLatencies(o.followers, o.from, o.to)}
	r.durable, err = durableLatencies(o.followers[0].sightings, o.ends[path], o.floors, o.from, o.to)
	if err := errors.Join(err, f.Stop()); err != nil {
		return r, err
	}
	return r, verify(f, o.wrote, dir)
}

// inArchive is where the bytes of a source appear. The temporary paths of a bench need no escaping.
func inArchive(f *fleet.Fleet, path string) string {
	return filepath.Join(f.Archive(), "hosts", host, path)
}

// observation is what is seen of a fleet while a load runs.
type observation struct {
	fleet     *fleet.Fleet
	followers []*follower
	every     time.Duration // how often they look
	standing  int64         // bytes archived before

	from, to      time.Time // the interval that is measured: after the warm-up, until the load ends
	before, after reading
	own           time.Duration
	wrote         []written
	floors        []fleet.Moved
	ends          map[string][]fleet.End
}

// during runs the load, watches, and returns once all that was written is durable.
func (o *observation) during(ctx context.Context, l load, warmup time.Duration) error {
	hub, err := o.fleet.Hub.Watch(ctx, host)
	if err != nil {
		return err
	}
	defer hub.Close()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var watchers errgroup.Group
	watchers.Go(func() error { return follow(watching, o.every, o.followers) })
	watchers.Go(func() (err error) { o.floors, err = hub.Floors(watching); return err })

	err = o.measure(ctx, l, warmup)
	if err == nil {
		err = waitVisible(ctx, o.fleet, o.standing+bytesOf(o.wrote))
	}
	if err == nil {
		err = waitDurable(ctx, o.fleet, hub)
	}
	if err == nil {
		o.ends, err = hub.Ends(ctx)
	}
	stop()
	return errors.Join(err, watchers.Wait())
}

// measure takes the meters' readings around the load.
func (o *observation) measure(ctx context.Context, l load, warmup time.Duration) error {
	var writing errgroup.Group
	writing.Go(func() (err error) { o.wrote, err = l.run(ctx); return err })
	if err := sleep(ctx, warmup); err != nil {
		return errors.Join(err, writing.Wait())
	}
	var own time.Duration
	o.from, o.before, own = time.Now(), meter(o.fleet), ownCPU()
	err := writing.Wait()
	o.to, o.after, o.own = time.Now(), meter(o.fleet), ownCPU()-own
	return errors.Join(err, o.fleet.Alive())
}

func bytesOf(all []written) int64 {
	var sum int64
	for _, w := range all {
		sum += w.Bytes
	}
	return sum
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
