package cluster_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// heard counts the words of a log that hold a text.
type heard struct {
	slog.Handler
	text  string
	times *atomic.Int64
}

func (h heard) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		h.times.Add(1)
	}
	return h.Handler.Handle(ctx, r)
}

func (h heard) WithAttrs(a []slog.Attr) slog.Handler {
	return heard{h.Handler.WithAttrs(a), h.text, h.times}
}

// Two hubs of one secret and one cluster name, and one name that is stale: linked, they would be one cluster, and the streams of one of them would be gone.
func TestAnotherHubIsNotLetIn(t *testing.T) {
	slow(t)
	var refused atomic.Int64
	loud := func(_ int, cfg *cluster.HubConfig) {
		cfg.Logger = slog.New(heard{clustertest.Logger(t).Handler(), "of another hub", &refused})
	}
	a, b := clustertest.StartCluster(t, 3, clustertest.Config()), clustertest.StartCluster(t, 3, clustertest.Config(), loud)
	inA, inB := ship(t, linked(t, a.Nodes[0], "web1"), "web1"), ship(t, linked(t, b.Nodes[0], "web2"), "web2")
	for range 5 {
		inA.publish()
		inB.publish()
	}
	own := slices.Clone(a.Named())
	a.Name(append(a.Named(), b.Named()[0])...)
	clustertest.Until(t, "the other hub refuses", func() bool { return refused.Load() > 0 })
	a.Name(own...)
	if err := a.Nodes[1].Stop(); err != nil { // it names the other hub from its start on now
		t.Fatal(err)
	}
	before := refused.Load()
	a.Name(append(own, b.Named()[1])...)
	h := a.StartOn(1, func(*cluster.HubConfig) {})
	h.Await(t)
	clustertest.Until(t, "the other hub refuses again", func() bool { return refused.Load() > before })
	for _, h := range append(slices.Clone(a.Nodes), b.Nodes...) {
		if m, err := h.Members(t.Context()); err != nil || len(m.Members) != 3 || m.Leader == "" {
			t.Errorf("members of %s: %+v %v", h.Name(), m, err)
		}
	}
	for _, s := range []*shipping{inA, inB} {
		s.publish()
		s.check()
	}
}

// The address of a node that is gone is that of another hub's node now, on a machine where nodes of both run.
func TestAddressThatGoesToAnotherHub(t *testing.T) {
	slow(t)
	var refused atomic.Int64
	loud := func(_ int, cfg *cluster.HubConfig) {
		cfg.Logger = slog.New(heard{clustertest.Logger(t).Handler(), "of another hub", &refused})
	}
	a, b := clustertest.StartCluster(t, 3, clustertest.Config(), loud), clustertest.StartCluster(t, 3, clustertest.Config(), loud)
	inA, inB := ship(t, linked(t, a.Nodes[0], "web1"), "web1"), ship(t, linked(t, b.Nodes[0], "web2"), "web2")
	for range 5 {
		inA.publish()
		inB.publish()
	}
	for _, h := range []*clustertest.Hub{a.Nodes[2], b.Nodes[2]} {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Until(t, "the others miss it", func() bool { return misses(t, a.Nodes[0]) && misses(t, a.Nodes[1]) })
	clustertest.Until(t, "they say who they are", func() bool { return !a.Nodes[0].DialsAsNobody() && !a.Nodes[1].DialsAsNobody() })
	b.Name(b.Named()[0], b.Named()[1], a.Named()[2])
	b.StartOn(2, func(*cluster.HubConfig) {}).Await(t)
	clustertest.Until(t, "they are refused", func() bool { return refused.Load() > 0 })
	for _, h := range append(slices.Clone(a.Nodes[:2]), b.Nodes...) {
		if m, err := h.Members(t.Context()); err != nil || len(m.Members) != 3 || m.Leader == "" {
			t.Errorf("members of %s: %+v %v", h.Name(), m, err)
		}
	}
	for _, s := range []*shipping{inA, inB} {
		s.publish()
		s.check()
	}
}

// misses says that a node counts one of its hub that is not there.
func misses(t *testing.T, h *clustertest.Hub) bool {
	m, err := h.Members(t.Context())
	return err == nil && slices.ContainsFunc(m.Members, func(m cluster.Member) bool { return m.Offline })
}
