package shipper_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper"
)

// An acknowledgement that comes too late is as good as lost. The agent goes on behind the batch without hello's table, which nobody can read while the bucket has no leader.
func TestLostAcknowledgementNeedsNoTable(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	proxy := clustertest.StartProxy(t, hub.Addresses().Leaf)
	path, metrics := filepath.Join(t.TempDir(), "app.log"), prometheus.NewRegistry()
	appendTo(t, path, lines(0, 10))
	agent{hub: hub, address: proxy.Leaf(), state: t.TempDir(), paths: []string{path}, change: func(c *shipper.Config) {
		c.AckTimeout, c.Metrics = 50*time.Millisecond, metrics
	}}.run(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 10)})
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), wire.Bucket); err != nil {
		t.Fatal(err)
	}
	proxy.Delay(100 * time.Millisecond)
	for n := 10; n < 40; n += 10 {
		appendTo(t, path, lines(n, n+10))
		holds(t, hub, map[string][]byte{"app.log#1": lines(0, n+10)})
	}
	counted(t, metrics, "logdrive_agent_rewinds_total", 0)
}

func counted(t *testing.T, metrics prometheus.Gatherer, name string, want float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			if got := f.GetMetric()[0].GetCounter().GetValue(); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			return
		}
	}
	t.Errorf("there is no %s", name)
}
