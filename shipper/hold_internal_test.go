package shipper

import (
	"errors"
	"testing"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/shipper/checkpoint"
)

// The hub was divided anew while an agent had nothing to publish. What is archived is told in sequences of another stream now: it must say hello.
func TestHeldFilesAreNotComparedWithAnotherStream(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until an agent asks what is archived")
	}
	hub := clustertest.Start(t, clustertest.Config())
	leaf := clustertest.NewLeaf(t, cluster.LeafConfig{Host: "web1", Writer: "w", Session: "s", Hubs: []string{hub.Addresses().Leaf}, Secret: hub.Secret()})
	clustertest.Until(t, "the agent is linked", leaf.Linked)
	cfg := DefaultConfig()
	cfg.Host, cfg.Writer, cfg.Session, cfg.Logger = "web1", "w", "s", clustertest.Logger(t)
	st := &stretch{Shipper: &Shipper{nc: leaf.Client(t), cfg: cfg, state: newState()}, chain: checkpoint.Chain{Stream: "LOGS-of-before-1-0"}}
	if err := st.askArchived(t.Context()); !errors.Is(err, errRewind) {
		t.Errorf("it ends with %v, want %v", err, errRewind)
	}
}
