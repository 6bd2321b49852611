package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// slow marks a test that mostly waits, as for elections: beside others, and not with -short.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
	t.Parallel()
}

// plainNode is a node without a hub.
type plainNode struct {
	*cluster.Node
	t      *testing.T
	cfg    cluster.NodeConfig
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

func plainConfig(t *testing.T, p cluster.Adapter, address string) cluster.NodeConfig {
	return cluster.NodeConfig{
		StoreDir: t.TempDir(), Nodes: 3, ClusterListen: address, Secret: "s", Adapter: p, DiscoverEvery: 200 * time.Millisecond,
		Logger: clustertest.Logger(t),
		Options: func() (*server.Options, error) {
			return &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: 1 << 30}, nil
		},
	}
}

func startPlain(t *testing.T, cfg cluster.NodeConfig) *plainNode {
	t.Helper()
	n, err := cluster.NewNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &plainNode{Node: n, t: t, cfg: cfg, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = n.Run(ctx)
	}()
	t.Cleanup(p.stop)
	return p
}

func (p *plainNode) stop() {
	p.cancel()
	<-p.ended
}

func (p *plainNode) await() {
	p.t.Helper()
	select {
	case <-p.Ready():
	case <-p.ended:
		p.t.Fatalf("node ended: %v", p.err)
	case <-time.After(2 * clustertest.Patience):
		p.t.Fatal("node is not ready")
	}
}

func startThree(t *testing.T) (*clustertest.Platform, []*plainNode) {
	t.Helper()
	p := &clustertest.Platform{}
	var addresses []string
	for range 3 {
		addresses = append(addresses, clustertest.FreeAddress(t))
	}
	p.Name(addresses...)
	var nodes []*plainNode
	for _, a := range addresses {
		nodes = append(nodes, startPlain(t, plainConfig(t, p, a)))
	}
	for _, n := range nodes {
		n.await()
	}
	return p, nodes
}

func members(t *testing.T, n *plainNode) cluster.Members {
	t.Helper()
	m, err := n.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (p *plainNode) jetStream() jetstream.JetStream {
	p.t.Helper()
	nc, err := p.Connect()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		p.t.Fatal(err)
	}
	return js
}

// makeStream makes a stream on three nodes with some messages.
func makeStream(t *testing.T, n *plainNode) jetstream.Stream {
	t.Helper()
	awaitMembers(t, n, 3) // fewer have no room for it
	js := n.jetStream()
	var s jetstream.Stream
	clustertest.Until(t, "the stream is made", func() bool { // the answer is lost if the leader changes meanwhile
		var err error
		s, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
		return err == nil
	})
	for i := range uint64(10) { // this node may not have heard of the stream yet
		clustertest.Until(t, "message is stored", func() bool {
			_, err := js.Publish(t.Context(), "s", []byte("x"), jetstream.WithExpectLastSequence(i))
			return err == nil
		})
	}
	return s
}

// whole waits until the stream has its messages on three current nodes, as the node sees it.
func whole(t *testing.T, n *plainNode, without ...string) {
	t.Helper()
	js := n.jetStream()
	clustertest.Until(t, "stream is whole on three nodes", func() bool {
		s, err := js.Stream(t.Context(), "S")
		if err != nil {
			return false
		}
		info := s.CachedInfo()
		if info.State.Msgs != 10 || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
			return false
		}
		for _, r := range info.Cluster.Replicas {
			if !r.Current || r.Offline || slices.Contains(without, r.Name) {
				return false
			}
		}
		return !slices.Contains(without, info.Cluster.Leader)
	})
}

func awaitMembers(t *testing.T, n *plainNode, want int) {
	t.Helper()
	clustertest.Until(t, fmt.Sprintf("%d members are current", want), func() bool {
		m, err := n.Members(t.Context())
		count := 0
		for _, k := range m.Members {
			if k.Current {
				count++
			}
		}
		return err == nil && m.Leader != "" && count == want && len(m.Members) == want
	})
}

// Three that start in the same second become one cluster, every time.
func TestThreeNodesFoundACluster(t *testing.T) {
	t.Parallel()
	times := 10
	switch {
	case testing.Short():
		times = 2
	case os.Getenv("LOGDRIVE_CHAOS") == "full":
		times = 100
	}
	for n := range times {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			_, nodes := startThree(t)
			makeStream(t, nodes[0])
			for _, n := range nodes {
				whole(t, n)
			}
		})
	}
}

// A platform that names a node which does not exist any more makes founders count on it, until it does not; that they are killed meanwhile changes nothing.
func TestFoundersForgetAStaleName(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted=%v", restarted), func(t *testing.T) {
			slow(t)
			p := &clustertest.Platform{}
			addresses := []string{clustertest.FreeAddress(t), clustertest.FreeAddress(t), clustertest.FreeAddress(t)}
			p.Name(append(slices.Clone(addresses), clustertest.FreeAddress(t))...)
			var nodes []*plainNode
			for _, a := range addresses {
				cfg := plainConfig(t, p, a)
				cfg.ForgetAfter = time.Second
				nodes = append(nodes, startPlain(t, cfg))
			}
			clustertest.Until(t, "each has counted its founders", func() bool {
				return !slices.ContainsFunc(nodes, func(n *plainNode) bool {
					counted, err := filepath.Glob(filepath.Join(n.cfg.StoreDir, "jetstream/*/_js_/_meta_/peers.idx"))
					return err != nil || len(counted) == 0
				})
			})
			for i, n := range nodes {
				if restarted {
					n.stop()
					nodes[i] = startPlain(t, n.cfg)
				}
			}
			p.Name(addresses...)
			for _, n := range nodes {
				n.await()
				awaitMembers(t, n, 3)
			}
		})
	}
}

func TestNodesComeBackAfterARestart(t *testing.T) {
	slow(t)
	p, nodes := startThree(t)
	makeStream(t, nodes[0])
	for i, n := range nodes { // one after the other, as when their binary is replaced
		n.stop()
		if n.err != nil {
			t.Fatal(n.err)
		}
		nodes[i] = startPlain(t, n.cfg)
		nodes[i].await()
		awaitMembers(t, nodes[i], 3)
		whole(t, nodes[i])
	}
	for _, n := range nodes {
		n.stop()
	}
	p.Fail(errors.New("no answer")) // all at once, and the platform tells nothing
	for i, n := range nodes {
		nodes[i] = startPlain(t, n.cfg)
	}
	for _, n := range nodes {
		n.await()
		whole(t, n)
		if n.Fault() == nil {
			t.Error("peers cannot be discovered, and the node says that all is well")
		}
	}
}

// Two empty nodes that join at once must not take each other for the cluster.
func TestTwoEmptyNodesJoinAtOnce(t *testing.T) {
	slow(t)
	p, nodes := startThree(t)
	makeStream(t, nodes[0])
	before := members(t, nodes[0])
	a, b := clustertest.FreeAddress(t), clustertest.FreeAddress(t)
	p.Name(append(p.Named(), a, b)...)
	joiners := []*plainNode{startPlain(t, plainConfig(t, p, a)), startPlain(t, plainConfig(t, p, b))}
	for _, n := range append(joiners, nodes...) {
		n.await()
		awaitMembers(t, n, 5)
		whole(t, n)
	}
	if now := members(t, nodes[0]); now.Leader != before.Leader {
		t.Errorf("leader was %s and is %s", before.Leader, now.Leader)
	}
	for _, n := range nodes {
		clustertest.Until(t, "every node has a route to every other", func() bool { return len(n.Linked()) == 4 })
	}
	// And back to three.
	for _, n := range joiners {
		n.Leave()
		<-n.ended
		if n.err != nil {
			t.Fatal(n.err)
		}
	}
	awaitMembers(t, nodes[0], 3)
	whole(t, nodes[0], joiners[0].Name(), joiners[1].Name())
	again, err := cluster.NewNode(joiners[0].cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "left its cluster") {
		t.Errorf("a node that has left starts again: %v", err)
	}
}

func TestLostNodeIsReplaced(t *testing.T) {
	slow(t)
	p, nodes := startThree(t)
	makeStream(t, nodes[0])
	lost := nodes[2]
	name := lost.Name()
	lost.stop()
	if err := nodes[0].Evict(t.Context(), name, false); err == nil {
		t.Error("a member was evicted and left two")
	}
	a := clustertest.FreeAddress(t)
	p.Name(append(p.Named()[:2], a)...)
	joiner := startPlain(t, plainConfig(t, p, a))
	joiner.await()
	if err := nodes[0].Evict(t.Context(), nodes[1].Name(), false); err == nil {
		t.Error("a member that is there was evicted")
	}
	clustertest.Until(t, "lost node is evicted", func() bool {
		err := nodes[0].Evict(t.Context(), name, false)
		if err != nil {
			t.Log(err)
		}
		return err == nil
	})
	awaitMembers(t, nodes[0], 3)
	whole(t, nodes[0], name)
	// It was not lost after all, and comes back with what it had.
	lost = startPlain(t, lost.cfg)
	lost.await()
	clustertest.Until(t, "the node that was evicted says so", func() bool {
		err := lost.Fault()
		return err != nil && strings.Contains(err.Error(), "was evicted")
	})
	if err := joiner.Fault(); err != nil {
		t.Errorf("a member has a fault: %v", err)
	}
	awaitMembers(t, nodes[0], 3)
	whole(t, nodes[0], name)
}

func TestNodesOfAnotherKindAreRefused(t *testing.T) {
	slow(t)
	_, nodes := startThree(t)
	makeStream(t, nodes[0])
	nodes[0].stop()
	alone := nodes[0].cfg
	alone.Nodes = 1
	if err := runOnce(t, alone); err == nil || !strings.Contains(err.Error(), "node of a cluster") {
		t.Errorf("a member starts alone: %v", err)
	}
	cfg := plainConfig(t, nil, "")
	cfg.Nodes, cfg.Adapter = 1, nil
	one := startPlain(t, cfg)
	one.await()
	js := one.jetStream()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); err != nil {
		t.Fatal(err)
	}
	one.stop()
	cfg.Nodes, cfg.Adapter, cfg.ClusterListen = 3, nodes[0].cfg.Adapter, clustertest.FreeAddress(t)
	if err := runOnce(t, cfg); err == nil || !strings.Contains(err.Error(), "was alone") {
		t.Errorf("a store with streams joins a cluster: %v", err)
	}
	cfg.Nodes = 2
	if _, err := cluster.NewNode(cfg); err == nil || !strings.Contains(err.Error(), "2 nodes") {
		t.Errorf("two nodes: %v", err)
	}
}

func runOnce(t *testing.T, cfg cluster.NodeConfig) error {
	t.Helper()
	n, err := cluster.NewNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	return n.Run(ctx)
}

func TestRescueAfterTheLossOfTwo(t *testing.T) {
	slow(t)
	p, nodes := startThree(t)
	makeStream(t, nodes[0])
	awaitMembers(t, nodes[0], 3)
	if _, err := nodes[0].Rescue(t.Context()); err == nil {
		t.Error("a cluster with a leader was rescued")
	}
	nodes[1].stop()
	nodes[2].stop()
	clustertest.Until(t, "the cluster has no leader", func() bool { return members(t, nodes[0]).Leader == "" })
	if err := nodes[0].Evict(t.Context(), nodes[1].Name(), true); err == nil {
		t.Error("a member was evicted without a leader")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*clustertest.Patience)
	defer cancel()
	m, err := nodes[0].Rescue(ctx)
	if err != nil {
		t.Fatalf("%v; members %+v", err, members(t, nodes[0]))
	}
	if len(m.Members) != 1 {
		t.Errorf("after the rescue: %+v", m)
	}
	a, b := clustertest.FreeAddress(t), clustertest.FreeAddress(t)
	p.Name(p.Named()[0], a, b)
	startPlain(t, plainConfig(t, p, a)).await()
	startPlain(t, plainConfig(t, p, b)).await()
	awaitMembers(t, nodes[0], 3)
	whole(t, nodes[0], nodes[1].Name(), nodes[2].Name())
}
