package cluster_test

import (
	"fmt"
	"testing"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

func TestBatchesTravelFromLeafToStreamAndHelloFollows(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	leaf := clustertest.StartLeaf(t, hub, "web1.example", "a", hub.Addresses().Leaf)
	nc := leaf.Client(t)
	ask := wire.Hello{Version: wire.Version, Writer: "w-a", Session: "s-a"}

	w := clustertest.Hello(t, nc, "web1.example", ask)
	if w.Refusal != "" || w.Head != 0 || w.Stream == "" || w.Table == nil || w.Created.IsZero() || w.MaxBatch != 4<<20 {
		t.Fatalf("first hello: %+v", w)
	}
	var head uint64
	for n := range uint64(5) {
		raw := fmt.Appendf(nil, "line %d\n", n)
		seq, err := clustertest.Publish(nc, clustertest.Batch("web1.example", "w-a", n, "/var/log/x", int64(n)*7, raw), w.Stream, head)
		if err != nil {
			t.Fatal(err)
		}
		head = seq
	}
	w = clustertest.Hello(t, nc, "web1.example", ask)
	if w.Head != head || w.Table.Sequence != head || w.Table.Sources["/var/log/x"][0].Offset != 35 {
		t.Fatalf("hello after five batches: %+v %+v", w, w.Table)
	}
	ask.After = head
	if w = clustertest.Hello(t, nc, "web1.example", ask); w.Head != head || w.Table != nil {
		t.Fatalf("hello of one who knows the head: %+v", w)
	}
}
