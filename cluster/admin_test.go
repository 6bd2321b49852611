package cluster_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

func TestOperatorRescuesAHub(t *testing.T) {
	slow(t)
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	s := ship(t, linked(t, c.Nodes[0], "web1"), "web1")
	for range 5 {
		s.publish()
	}
	streamsAreWhole(t, c.Nodes[0])
	nc := c.Nodes[0].Receiver(t)
	if _, err := cluster.RescueHub(t.Context(), nc); err == nil || !strings.Contains(err.Error(), "has a leader") {
		t.Errorf("a hub with a leader was rescued: %v", err)
	}
	for _, h := range c.Nodes[1:] {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Until(t, "the hub has no leader", func() bool {
		m, err := cluster.HubMembers(t.Context(), nc)
		return err == nil && m.Leader == ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*clustertest.Patience)
	defer cancel()
	m, err := cluster.RescueHub(ctx, nc)
	if err != nil {
		now, _ := cluster.HubMembers(t.Context(), nc)
		t.Fatalf("%v: %+v", err, now)
	}
	if len(m.Members) != 1 || m.Leader == "" {
		t.Errorf("after the rescue: %+v", m)
	}
	s.publish()
	s.check()
}

// The only member that is left was restarted since: it follows no leader, and must answer operators all the same. A new node in the place of a lost one is there already, and has no say.
func TestOperatorRescuesAHubThatWasRestarted(t *testing.T) {
	slow(t)
	c := clustertest.StartCluster(t, 3, clustertest.Config())
	s := ship(t, linked(t, c.Nodes[0], "web1"), "web1")
	for range 5 {
		s.publish()
	}
	streamsAreWhole(t, c.Nodes[0])
	for _, h := range c.Nodes {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	client := clustertest.FreeAddress(t)
	c.Name(c.Named()[0], clustertest.FreeAddress(t), clustertest.FreeAddress(t))
	last := c.StartOn(0, func(cfg *cluster.HubConfig) { cfg.Listen = client })
	other := c.StartOn(1, func(cfg *cluster.HubConfig) { cfg.StoreDir = t.TempDir() })
	var nc *nats.Conn
	clustertest.Until(t, "the node that is left answers operators", func() bool {
		if nc == nil {
			nc, _ = nats.Connect("nats://"+client, nats.UserInfo("receiver", clustertest.Secret))
			return false
		}
		m, err := cluster.HubMembers(t.Context(), nc)
		return err == nil && m.Leader == "" && len(m.Members) == 3
	})
	defer nc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*clustertest.Patience)
	defer cancel()
	if m, err := cluster.RescueHub(ctx, nc); err != nil || m.Leader == "" {
		t.Fatalf("%+v %v", m, err)
	}
	last.Await(t)
	other.Await(t)
	again := ship(t, linked(t, last, "web1"), "web1")
	again.count = 5
	again.check()
	again.publish()
	again.check()
}
