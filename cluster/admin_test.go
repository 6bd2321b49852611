package cluster_test

import (
	"context"
	"strings"
	"testing"

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
