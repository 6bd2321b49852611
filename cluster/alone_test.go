package cluster_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// A node that reaches no other sends receivers away, and lets operators stay.
func TestNodeThatIsAloneSendsReceiversAway(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("founds a cluster")
	}
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	dial := func(name string) (*nats.Conn, chan struct{}) {
		away := make(chan struct{}, 16)
		nc, err := cluster.Connect(c.Nodes[0].Addresses().Client, clustertest.Secret, nats.Name(name), nats.IgnoreDiscoveredServers(),
			nats.DisconnectErrHandler(func(*nats.Conn, error) { away <- struct{}{} }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc, away
	}
	_, sent := dial("logdrive receiver")
	operator, disturbed := dial("logdrive rescue")
	for _, h := range c.Nodes[1:] {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Until(t, "the receiver is sent away twice", func() bool { return len(sent) >= 2 })
	if len(disturbed) > 0 || !operator.IsConnected() {
		t.Error("the operator was sent away, too")
	}
}
