package cluster_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

func TestHubNodeAnswersAgentsAndTellsWhereItIs(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Name, cfg.Websocket = "hub-a", "127.0.0.1:0"
	cfg.Advertise.Leaf, cfg.Advertise.Websocket = "hub.example:7422", "wss://hub.example"
	hub := clustertest.Start(t, cfg)
	nc := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf).Client(t)
	var msg *nats.Msg
	clustertest.Until(t, "the hub answers", func() bool {
		var err error
		msg, err = nc.Request(wire.NodesSubject("hub-a", "web1"), nil, 10*time.Second)
		return err == nil
	})
	got, err := wire.DecodeNodes(msg.Data)
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Node{Name: "hub-a", Leaf: "hub.example:7422", Websocket: "wss://hub.example"}
	if !got.Serving || got.Name != "hub-a" || len(got.Nodes) != 1 || got.Nodes[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
