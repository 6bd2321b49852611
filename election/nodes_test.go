package election_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/election"
)

// replicated makes a bucket on three nodes, or finds it.
func replicated(t *testing.T, nc *nats.Conn, bucket string, ttl time.Duration) (kv jetstream.KeyValue) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the bucket is there", func() bool {
		kv, err = js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucket, TTL: ttl, History: 1, MaxBytes: 1 << 20, Replicas: 3})
		return err == nil
	})
	return kv
}

// leads tells which node leads a stream; "" when none does.
func leads(t *testing.T, nc *nats.Conn, stream string) string {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return ""
	}
	return s.CachedInfo().Cluster.Leader
}

// Three hub nodes keep the lease. Those that lead it and the cluster step down, and each node stops and comes back: the lease stays or moves cleanly, and the fence lets no write of a former leader through.
func TestLeaseOnThreeNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for elections of the hub's own")
	}
	t.Parallel()
	hub, h := clustertest.StartCluster(t, 3, clustertest.Config()), &history{}
	var all []*remote
	for i, node := range hub.Nodes {
		p := clustertest.StartProxy(t, node.Addresses().Client)
		nc := connect(t, node, p)
		kv, fenced := replicated(t, nc, "ELECTION", ttl), fence{replicated(t, nc, "RESOURCE", 0)}
		who := fmt.Sprint("candidate", i)
		all = append(all, &remote{run(t, kv, config(t, who), duty(who, fenced, h.tell)), who, p})
	}
	h.writes(t, 0, "")
	goesOn := func(what string) {
		t.Helper()
		from := time.Now()
		e := h.await(t, "somebody writes after "+what, func(e event) bool { return e.What == "wrote" && e.At.After(from.Add(ttl)) })
		t.Logf("after %s %s writes in term %d", what, e.Who, e.Term)
	}
	watcher := func() *nats.Conn { // of a node that runs
		for _, node := range hub.Nodes {
			if nc, err := cluster.Connect(node.Addresses().Client, node.Secret()); err == nil {
				t.Cleanup(nc.Close)
				return nc
			}
		}
		t.Fatal("no node answers")
		return nil
	}
	for _, stream := range []string{"KV_ELECTION", "KV_RESOURCE"} {
		if _, err := watcher().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, clustertest.Patience); err != nil {
			t.Fatal(err)
		}
		goesOn("the leader of " + stream + " stepped down")
	}
	for i := range hub.Nodes {
		leader := leads(t, watcher(), "KV_ELECTION")
		at := 0
		for j, node := range hub.Nodes {
			if node.Name() == leader {
				at = j
			}
		}
		if i == 1 { // once one that does not lead
			at = (at + 1) % 3
		}
		if err := hub.Nodes[at].Stop(); err != nil {
			t.Fatal(err)
		}
		all[at].proxy.Target(hub.Nodes[(at+1)%3].Addresses().Client)
		goesOn("a node stopped")
		hub.Restart(at)
		goesOn("it came back")
	}
	for _, r := range all {
		_ = r.stop(t)
	}
	h.checkFence(t)
	h.checkReigns(t)
	for _, e := range h.all() {
		if e.What == "end" && strings.Contains(e.Cause, election.ErrDeposed.Error()) {
			t.Errorf("the loss of a node deposed: %+v", e)
		}
	}
}
