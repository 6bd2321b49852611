package aws_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/aws"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

func TestEnding(t *testing.T) {
	for _, c := range []struct {
		name, path, value string
		volumeStay        bool
		want              cluster.Ending
	}{
		{"Auto Scaling", "autoscaling/target-lifecycle-state", "Terminated", false, cluster.Ending{Reason: "Auto Scaling terminates the instance", ForGood: true}},
		{"Auto Scaling, with a volume", "autoscaling/target-lifecycle-state", "Terminated", true, cluster.Ending{Reason: "Auto Scaling terminates the instance"}},
		{"a warm instance", "autoscaling/target-lifecycle-state", "Warmed:Terminated", false, cluster.Ending{Reason: "Auto Scaling terminates the instance", ForGood: true}},
		{"into the warm pool", "autoscaling/target-lifecycle-state", "Warmed:Stopped", false, cluster.Ending{Reason: "Auto Scaling puts the instance into the warm pool"}},
		{
			"spot", "spot/instance-action", `{"action": "terminate", "time": "2030-09-18T08:22:00Z"}`, false,
			cluster.Ending{Reason: "the spot instance is interrupted: terminate", ForGood: true, Before: time.Date(2030, 9, 18, 8, 22, 0, 0, time.UTC)},
		},
		{
			"spot that stops", "spot/instance-action", `{"action": "stop", "time": "2030-09-18T08:22:00Z"}`, false,
			cluster.Ending{Reason: "the spot instance is interrupted: stop", Before: time.Date(2030, 9, 18, 8, 22, 0, 0, time.UTC)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := metadataOnly(t, c.volumeStay)
			n.set("autoscaling/target-lifecycle-state", "InService")
			type answer struct {
				cluster.Ending
				error
			}
			ended := make(chan answer)
			go func() {
				e, err := n.Ending(t.Context())
				ended <- answer{e, err}
			}()
			n.untilAsked(t, "autoscaling/target-lifecycle-state")
			n.set(c.path, c.value)
			if got := <-ended; got.error != nil || got.Ending != c.want {
				t.Errorf("ending is %+v, want %+v", got, c.want)
			}
			n.quiet(t) // told once
		})
	}
}

// A spot notice on top of the end that Auto Scaling has announced says when.
func TestEndings(t *testing.T) {
	n := metadataOnly(t, false)
	n.set("autoscaling/target-lifecycle-state", "Terminated")
	if e, err := n.Ending(t.Context()); err != nil || !e.Before.IsZero() {
		t.Errorf("ending is %+v (%v), want that of Auto Scaling", e, err)
	}
	n.set("spot/instance-action", `{"action": "terminate", "time": "2030-09-18T08:22:00Z"}`)
	if e, err := n.Ending(t.Context()); err != nil || e.Before.IsZero() {
		t.Errorf("ending is %+v (%v), want the spot notice's", e, err)
	}
	n.quiet(t)
}

func TestRebalance(t *testing.T) {
	n := metadataOnly(t, false)
	n.set("events/recommendations/rebalance", `{"noticeTime": "2030-10-27T08:22:00Z"}`)
	n.quiet(t)
	n.quiet(t)
	if got := strings.Count(n.log.String(), "risk of interruption"); got != 1 {
		t.Errorf("the recommendation is logged %d times, want once:\n%s", got, n.log)
	}
}

func TestEndingFaults(t *testing.T) {
	n := metadataOnly(t, false)
	n.set("spot/instance-action", "soon")
	_, err := n.Ending(t.Context())
	wantError(t, err, "spot/instance-action", `"soon"`)
	n.set("autoscaling/target-lifecycle-state", "Terminated") // a notice that cannot be read hides no other
	if e, err := n.Ending(t.Context()); err != nil || !e.ForGood {
		t.Errorf("ending is %+v (%v), want that of Auto Scaling", e, err)
	}
	n.fail(true)
	_, err = n.Ending(t.Context())
	wantError(t, err, "read instance metadata")
}

// metadataOnly is a node that has no table.
func metadataOnly(t *testing.T, volumeStay bool) *node {
	t.Helper()
	return startNode(t, &database{table: "none", url: "http://127.0.0.1:1"}, nil, "i-1", func(c *aws.Config) { c.VolumeStay = volumeStay })
}

// quiet fails the test if an end is announced within some rounds of asking.
func (n *node) quiet(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		e, err := n.Ending(ctx)
		if err == nil {
			t.Errorf("ending is %+v, want none", e)
		}
		ended <- err
	}()
	for range 3 {
		n.untilAsked(t, "spot/instance-action")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that the context has ended", err)
	}
}

// untilAsked waits until an entry is asked for once more.
func (i *instance) untilAsked(t *testing.T, path string) {
	t.Helper()
	count := func() int {
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.asked[path]
	}
	before := count()
	clustertest.Until(t, "the metadata is asked for "+path, func() bool { return count() > before })
}
