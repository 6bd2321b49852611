package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// deaf is a platform that does not take at first that a node has left.
type deaf struct {
	clustertest.Platform
	mu   sync.Mutex // guards told
	told int        // that it has left
}

func (d *deaf) Report(_ context.Context, s cluster.Status) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.State != cluster.Left {
		return nil
	}
	if d.told++; d.told < 3 {
		return errors.New("throttled")
	}
	return nil
}

func (d *deaf) heard() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.told
}

func TestThatANodeHasLeftIsToldUntilItIsTaken(t *testing.T) {
	d := &deaf{}
	cfg := plainConfig(t, d, "")
	cfg.Nodes, cfg.DiscoverEvery = 1, 10*time.Millisecond
	n := startPlain(t, cfg)
	n.await()
	n.Leave()
	select {
	case <-n.ended:
	case <-time.After(clustertest.Patience):
		t.Fatal("the node does not end")
	}
	if n.err != nil || d.heard() != 3 {
		t.Errorf("node ended with %v after %d reports, want 3", n.err, d.heard())
	}
}
