package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// A full stream pushes back to the files, and drains by itself once a receiver comes.
func TestChaosStreamFull(t *testing.T) {
	slow(t)
	for _, size := range []string{"1MiB", "4MiB"} {
		t.Run(size, func(t *testing.T) {
			s := newSite(t, options{hub: []string{"--stream-size", size}, agent: []string{"--codec", "none"}})
			s.hub.start().ready()
			src := s.newSource("app.log")
			for range 12 {
				src.lines(2000)
			}
			s.agent.start().ready()
			until(t, "the agent is pushed back", func() bool { return s.agent.logged("maximum bytes exceeded") })
			src.rename(10)
			s.receiver.start()
			src.lines(2000)
			s.settle(nil, src)
		})
	}
}

// The same while processes die.
func TestChaosStreamFullAndKills(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{hub: []string{"--stream-size", "4MiB"}, agent: []string{"--codec", "none"}})
	sources, stop := s.writers(r)
	for range length(5) {
		if s.receiver.running() {
			s.receiver.kill()
		} else {
			s.receiver.start()
		}
		wait(r, 2*time.Second)
		kills[r.IntN(2)].do(s, r)
	}
	stop()
	s.heal()
	s.settle(nil, sources...)
}

// Many hosts and a small stream: the heads alone, which no purge may touch, fill it.
func TestChaosStreamFullOfHeads(t *testing.T) {
	slow(t)
	fleets := []int{20}
	if full() {
		fleets = append(fleets, 60)
	}
	for _, hosts := range fleets {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			s := newSite(t, options{hub: []string{"--stream-size", "1MiB", "--partitions", "1"}})
			s.hub.start().ready()
			fleet := s.startFleet(hosts)
			for _, src := range fleet {
				src.lines(500)
			}
			clustertest.Until(t, "the stream is full", func() bool {
				v := s.view()
				defer v.nc.Close()
				_, info := v.stream(0)
				return info.State.Bytes > 7<<17
			})
			s.receiver.start()
			s.arrived(fleet...)
			for range length(1) {
				for _, src := range fleet {
					src.lines(300)
				}
				s.arrived(fleet...)
			}
			s.receiver.restart()
			for _, src := range fleet {
				src.lines(1)
			}
			s.arrived(fleet...)
			s.receiver.stop()
			s.equal(fleet...)
			s.ledger(nil)
			s.invariants()
		})
	}
}

// startFleet ships a log each of many hosts, without compression, from this process.
func (s *site) startFleet(hosts int) []*source {
	s.t.Helper()
	group, ctx := errgroup.WithContext(context.Background())
	ctx, end := context.WithCancel(ctx)
	s.t.Cleanup(func() {
		end()
		if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("fleet: %v", err)
		}
	})
	var all []*source
	for i := range hosts {
		host := fmt.Sprintf("host%02d", i)
		dir := s.path(host)
		must(s.t, os.MkdirAll(filepath.Join(dir, "state"), 0o755))
		src := s.sourceOf(host, dir, "app.log")
		all = append(all, src)
		group.Go(func() error { return s.shipHost(ctx, src, filepath.Join(dir, "state")) })
	}
	return all
}

// shipHost is an agent without a leaf of its own.
func (s *site) shipHost(ctx context.Context, src *source, state string) error {
	v := s.view()
	defer v.nc.Close()
	store, err := checkpoint.Open(state, src.host, clustertest.Logger(s.t))
	if err != nil {
		return err
	}
	files := tail.DefaultConfig()
	files.Paths = []string{src.path}
	tailer, err := tail.New(files)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	cfg := shipper.DefaultConfig()
	cfg.Host, cfg.Writer, cfg.Session, cfg.Codec = src.host, store.Writer(), src.host, wire.CodecNone
	ship, err := shipper.New(v.nc, tailer, store, cfg)
	if err == nil {
		err = ship.Run(ctx)
	}
	return errors.Join(err, tailer.Close(), store.Close())
}
