package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// field is a hub in a process of its own, to be killed, with agents and an archive that outlive it.
type field struct {
	t            *testing.T
	dir          string
	leaf, client *clustertest.Proxy
	hub          *exec.Cmd
	secret       string
	js           jetstream.JetStream
	player       *player
	liners       []*liner
	end          func() // stops agents and archive, once all is archived
}

func newField(t *testing.T) *field {
	t.Helper()
	f := &field{t: t, dir: t.TempDir(), leaf: clustertest.StartProxy(t, "127.0.0.1:1"), client: clustertest.StartProxy(t, "127.0.0.1:1")}
	f.start("")
	nc, err := cluster.Connect(f.client.Client(), f.secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f.js = streamsOf(t, nc)
	f.player = newPlayer(t, f.js)
	f.begin()
	return f
}

// start runs the hub, which kills itself after a step of a change.
func (f *field) start(step string) {
	f.t.Helper()
	cmd, out := startChild(f.t, f.dir, childStop+"="+step)
	var c child
	if err := json.NewDecoder(out).Decode(&c); err != nil {
		f.t.Fatalf("the hub did not start: %v", err)
	}
	f.t.Cleanup(func() { kill(cmd) })
	f.hub, f.secret = cmd, c.Secret
	f.leaf.Target(c.Leaf)
	f.client.Target(c.Client)
}

func (f *field) begin() {
	shippingCtx, stopShipping := context.WithCancel(context.Background())
	archivingCtx, stopArchiving := context.WithCancel(context.Background())
	var shipping, archiving sync.WaitGroup
	for n := range 6 {
		host := fmt.Sprintf("web%d", n)
		leaf := clustertest.NewLeaf(f.t, cluster.LeafConfig{Host: host, Writer: "w-" + host, Session: "s-" + host, Hubs: []string{f.leaf.Leaf()}, Secret: f.secret})
		l := &liner{t: f.t, host: host, nc: leaf.Client(f.t)}
		f.liners = append(f.liners, l)
		shipping.Go(func() { l.run(shippingCtx) })
	}
	archiving.Go(func() { f.player.run(archivingCtx) })
	f.t.Cleanup(func() {
		stopShipping()
		stopArchiving()
		shipping.Wait()
		archiving.Wait()
	})
	f.end = func() {
		for _, l := range f.liners {
			clustertest.Until(f.t, l.host+" has shipped something", l.begun.Load)
		}
		stopShipping()
		shipping.Wait()
		f.player.finish()
		stopArchiving()
		archiving.Wait()
		f.player.has(f.liners)
	}
}

// want asks for a layout, of a hub that has just been started.
func (f *field) want(partitions int) int {
	f.t.Helper()
	number := 0
	clustertest.Until(f.t, "the layout is wanted", func() bool {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
		defer cancel()
		l, err := cluster.WantLayout(ctx, f.js, partitions, 0)
		if err == nil {
			number = l.Number
			return true
		}
		status, err := cluster.ReadLayout(ctx, f.js) // it was wanted, and the answer was lost
		if err == nil && status.Next != nil && status.Next.Partitions == partitions {
			number = status.Next.Number
			return true
		}
		return false
	})
	return number
}

// Killed after any step, the hub goes on where it was, and nothing is lost, doubled or out of order.
func TestLayoutChangeSurvivesAKillAfterEachStep(t *testing.T) {
	steps := []string{"archived", "sealing", "one sealed", "sealed", "one table", "tables", "one stream", "streams", "installed", "one deleted", "deleted"}
	if testing.Short() {
		steps = []string{"one table", "installed"}
	}
	f := newField(t)
	partitions := 1
	for _, step := range steps {
		kill(f.hub)
		f.start(step)
		partitions = 5 - partitions // 4, 1, 4 …
		number := f.want(partitions)
		if err := f.hub.Wait(); err == nil {
			t.Fatalf("%s: the hub ended by itself", step)
		}
		f.start("")
		if l := relaid(t, f.js, number); l.Partitions != partitions {
			t.Errorf("%s: the layout is %+v", step, l)
		}
	}
	f.end()
}

// Killed at any moment, again and again.
func TestLayoutChangesSurviveKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := newField(t)
	partitions := 1
	for range 10 {
		partitions = partitions%7 + 1 + random.IntN(3)
		number := f.want(partitions)
		for range random.IntN(4) {
			time.Sleep(time.Duration(random.Int64N(int64(600 * time.Millisecond))))
			kill(f.hub)
			f.start("")
		}
		if l := relaid(t, f.js, number); l.Partitions != partitions {
			t.Errorf("the layout is %+v, not of %d partitions", l, partitions)
		}
	}
	f.end()
}
