package cluster_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// Many hosts publish through all nodes while the stream is sealed. Once it is still, its end is its end: nothing is acknowledged behind it.
func TestSealedStreamsComeToAnEnd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("founds a cluster")
	}
	cfg := clustertest.Config()
	cfg.Partitions = 1
	c := clustertest.StartCluster(t, 3, cfg)
	js := streamsOf(t, c.Nodes[0].Receiver(t))
	status, err := cluster.ReadLayout(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	name := status.Now.Stream(0)
	var agents sync.WaitGroup
	var mu sync.Mutex
	var most uint64 // acknowledged
	under := make(chan struct{}, 1000)
	for n := range 12 {
		host, nc := fmt.Sprintf("web%d", n), c.Nodes[n%3].Receiver(t)
		agents.Go(func() {
			var last uint64
			for number := uint64(1); ; number++ {
				batch := clustertest.Batch(host, "w-a", number, "/x", int64(number-1)*2, []byte("x\n"))
				sequence, err := clustertest.Publish(nc, batch, name, last)
				if err != nil {
					return
				}
				mu.Lock()
				last, most = sequence, max(most, sequence)
				mu.Unlock()
				select {
				case under <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 200 {
		<-under
	}
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	sealed := stream.CachedInfo().Config
	sealed.Sealed = true
	if _, err := js.UpdateStream(t.Context(), sealed); err != nil {
		t.Fatal(err)
	}
	look := cluster.Still(js)
	clustertest.Until(t, "the stream is still", func() bool {
		still, _, err := look(t.Context(), status.Now)
		return err == nil && still
	})
	end := endOf(t, js, status.Now)
	agents.Wait()
	time.Sleep(time.Second)
	if now := endOf(t, js, status.Now); most > end || now != end {
		t.Errorf("the end was %d, %d was acknowledged, and now it is %d", end, most, now)
	}
}

func endOf(t *testing.T, js jetstream.JetStream, l wire.Layout) uint64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), l.Stream(0))
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// A leader that hears of too few replicas may have been replaced, and what it says of the end is not to be believed.
func TestSealedStreamsWithoutAQuorumAreNotAtTheirEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		replicas []*jetstream.PeerInfo
		want     bool
	}{
		{"both follow", []*jetstream.PeerInfo{{Current: true, Active: time.Second}, {Current: true, Active: time.Second}}, true},
		{"one is gone", []*jetstream.PeerInfo{{Current: true, Active: time.Second}, {Offline: true}}, true},
		{"one is behind, one silent", []*jetstream.PeerInfo{{Lag: 1, Active: time.Second}, {Current: true, Active: time.Minute}}, false},
		{"both are silent", []*jetstream.PeerInfo{{Current: true, Active: time.Minute}, {Current: true, Active: time.Minute}}, false},
	} {
		info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: 3}, Cluster: &jetstream.ClusterInfo{Leader: "a", Replicas: tt.replicas}}
		if got := cluster.Followed(info); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
