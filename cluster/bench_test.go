package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// BenchmarkPublish is what the way from an agent into a partition costs, both servers and every sync included: one batch at a time, as
// an agent publishes. The payload is random, as compressed ones are.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			cfg := clustertest.Config()
			cfg.Partitions, cfg.StreamBytes = 1, 8<<30
			hub := clustertest.Start(b, cfg)
			nc := clustertest.StartLeaf(b, hub, "web1", "a", hub.Addresses().Leaf).Client(b)
			w := clustertest.Hello(b, nc, "web1", hello("a", 0))
			raw := make([]byte, size)
			random := rand.NewChaCha8([32]byte{1})
			_, _ = random.Read(raw)
			head := w.Head
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var err error
			for n := 0; b.Loop(); n++ {
				head, err = clustertest.Publish(nc, clustertest.Batch("web1", "w-a", uint64(n), "/x", int64(n*size), raw), w.Stream, head)
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHello is what an agent's question costs the hub, by the size of the batch at the head.
func BenchmarkHello(b *testing.B) {
	for _, size := range []int{1 << 10, 200 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("head-%dKiB", size>>10), func(b *testing.B) {
			hub := clustertest.Start(b, clustertest.Config())
			nc := clustertest.StartLeaf(b, hub, "web1", "a", hub.Addresses().Leaf).Client(b)
			w := clustertest.Hello(b, nc, "web1", hello("a", 0))
			if _, err := clustertest.Publish(nc, clustertest.Batch("web1", "w-a", 1, "/x", 0, make([]byte, size)), w.Stream, 0); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				clustertest.Hello(b, nc, "web1", hello("a", 0))
			}
		})
	}
}

// BenchmarkFollow is what a long chain after the table costs.
func BenchmarkFollow(b *testing.B) {
	hub := clustertest.Start(b, clustertest.Config())
	nc := clustertest.StartLeaf(b, hub, "web1", "a", hub.Addresses().Leaf).Client(b)
	w := clustertest.Hello(b, nc, "web1", hello("a", 0))
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	var head uint64
	for n := range uint64(1000) {
		msg := clustertest.Batch("web1", "w-a", n, "/x", int64(n), []byte("x"))
		ack, err := js.PublishMsg(b.Context(), msg, jetstream.WithExpectStream(w.Stream), jetstream.WithExpectLastSequencePerSubject(head))
		if err != nil {
			b.Fatal(err)
		}
		head = ack.Sequence
	}
	for b.Loop() {
		if w := clustertest.Hello(b, nc, "web1", wire.Hello{Version: wire.Version, Writer: "w-a", Session: "s-a"}); w.Head != head {
			b.Fatal(w)
		}
	}
}
