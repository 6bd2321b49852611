package receiver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

func TestMain(m *testing.M) {
	clustertest.RunNode()
	os.Exit(m.Run())
}

// trio is a fleet on a hub of three nodes, each a process to be killed.
type trio struct {
	*fleet
	hubs []*clustertest.Process
}

func newTrio(t *testing.T, partitions int) *trio {
	t.Helper()
	hubs := clustertest.StartProcesses(t, 3, partitions)
	return &trio{fleetAt(t, steady, partitions, hubs[0].Client(), clustertest.Secret), hubs}
}

// leader is the node that leads a stream.
func (f *trio) leader(stream string) *clustertest.Process {
	f.t.Helper()
	var leader *clustertest.Process
	f.until(func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), 2*time.Second)
		defer cancel()
		s, err := f.js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		i := slices.IndexFunc(f.hubs, func(p *clustertest.Process) bool { return p.Name() == s.CachedInfo().Cluster.Leader })
		if i >= 0 {
			leader = f.hubs[i]
		}
		return i >= 0
	}, "stream %s has a leader", stream)
	return leader
}

// TestChaosLeadersAtEachStep is schedule T12: the leader of the bucket with the records, or of the partition's stream, is killed while the receiver stands at a step of taking over (R3) or of
// archiving (R5), and is back when it goes on, or later.
func TestChaosLeadersAtEachStep(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("kills hub nodes")
	}
	steps := []string{"take over", "taken over", "fetch", "append", "commit", "floor", "floor written"}
	rounds := []round{}
	for _, step := range steps {
		for _, of := range []string{"bucket", "stream"} {
			rounds = append(rounds, round{step, of})
		}
	}
	rand.Shuffle(len(rounds), func(i, j int) { rounds[i], rounds[j] = rounds[j], rounds[i] })
	if os.Getenv("LOGDRIVE_CHAOS") != "full" {
		rounds = rounds[:3]
	}
	f := newTrio(t, 1)
	web := f.host(0)
	before := f.run("a0")
	f.ship(web, 3)
	f.floor(3)
	for n, r := range rounds {
		before = f.play(r, web, before, fmt.Sprintf("a%d", n+1))
	}
	for _, n := range f.nodes {
		if !n.running() {
			n.start()
		}
	}
	f.ship(web, 1)
	f.exact()
}

// round is one kill.
type round struct{ step, of string }

// play lets a new receiver take over from one that died, and kills a leader when it comes to the step.
func (f *trio) play(r round, web *agent, before *node, name string) *node {
	f.t.Helper()
	next := f.add(name, nil)
	trap := next.trap(0, r.step)
	before.kill()
	next.start()
	stop := f.writing(web)
	trap.wait(f.t)
	victim := f.leader(map[string]string{"bucket": "KV_" + wire.Bucket, "stream": web.stream}[r.of])
	begun := time.Now()
	victim.Kill()
	trap.free()
	stop()
	f.ship(web, 1)
	f.floor(web.head)
	f.t.Logf("%s: leader of the %s killed, archived again after %v", r.step, r.of, time.Since(begun).Round(10*time.Millisecond))
	victim.Start()
	victim.AwaitReady()
	f.ship(web, 1)
	f.floor(web.head)
	return next
}

// writing lets a host ship in the background, until it is told to stop.
func (f *trio) writing(web *agent) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			f.ship(web, 1)
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(end); <-done }
}
