package aws_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/aws"
)

const (
	callHealthy   = "Action=SetInstanceHealth&HealthStatus=Healthy&InstanceId=i-1&ShouldRespectGracePeriod=false"
	callUnhealthy = "Action=SetInstanceHealth&HealthStatus=Unhealthy&InstanceId=i-1&ShouldRespectGracePeriod=false"
	callExtend    = "Action=RecordLifecycleActionHeartbeat&AutoScalingGroupName=hubs&InstanceId=i-1&LifecycleHookName=leave"
	callComplete  = "Action=CompleteLifecycleAction&AutoScalingGroupName=hubs&InstanceId=i-1&LifecycleActionResult=CONTINUE&LifecycleHookName=leave"
)

// inGroup is three nodes that work, the first of which is in an Auto Scaling group.
func inGroup(t *testing.T) (n *node, others []*node, group *autoScaling, c *clock) {
	t.Helper()
	db := newDatabase(t)
	group, c = newAutoScaling(t), newClock()
	x, y, z := threeNodes(t, db, c)
	x.Adapter = x.process(t, db, c, func(cfg *aws.Config) {
		cfg.Group, cfg.Hook, cfg.Endpoints.AutoScaling = "hubs", "leave", group.server.URL
		cfg.UnhealthyAfter = 2 * time.Minute
	})
	y.report(t, cluster.Working, "")
	z.report(t, cluster.Working, "")
	_, _ = x.Peers(t.Context())
	for _, other := range []*node{y, z} {
		other.report(t, cluster.Working, "")
	}
	_, _ = x.Peers(t.Context())
	return x, []*node{y, z}, group, c
}

func (a *autoScaling) want(t *testing.T, calls ...string) {
	t.Helper()
	if got := a.take(); !slices.Equal(got, calls) {
		t.Errorf("Auto Scaling was asked %q, want %q", got, calls)
	}
}

// tick is what passes between two reports of a core: all nodes report and look.
func tick(t *testing.T, c *clock, n *node, s cluster.Status, others []*node, states ...cluster.State) {
	t.Helper()
	c.pass(10 * time.Second)
	for i, other := range others {
		other.report(t, states[i], "")
	}
	if _, err := n.Peers(t.Context()); err != nil {
		t.Error(err)
	}
	if err := n.Report(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestHealth(t *testing.T) {
	n, others, group, c := inGroup(t)
	broken := cluster.Status{State: cluster.Broken, Reason: "no meta leader"}
	n.report(t, cluster.Starting, "")
	group.want(t)
	n.report(t, cluster.Working, "")
	group.want(t, callHealthy)
	n.report(t, cluster.Working, "")
	group.want(t)

	for range 12 { // not yet 2 minutes since the first report
		tick(t, c, n, broken, others, cluster.Working, cluster.Working)
	}
	group.want(t)
	n.report(t, cluster.Working, "") // it has recovered in time
	group.want(t)
	for range 13 {
		tick(t, c, n, broken, others, cluster.Working, cluster.Working)
	}
	group.want(t, callUnhealthy)
	for range 30 { // told again after 5 minutes
		tick(t, c, n, broken, others, cluster.Working, cluster.Working)
	}
	group.want(t, callUnhealthy)
	n.report(t, cluster.Working, "")
	group.want(t, callHealthy)
}

// When several nodes are broken their disks may hold all there is: none is given up.
func TestNotGivenUp(t *testing.T) {
	n, others, group, c := inGroup(t)
	broken := cluster.Status{State: cluster.Broken, Reason: "no quorum"}
	for range 20 {
		tick(t, c, n, broken, others, cluster.Working, cluster.Broken)
	}
	group.want(t)
	if got := strings.Count(n.log.String(), "not given up"); got != 1 {
		t.Errorf("the log tells %d times that the node is not given up, want once", got)
	}
	for range 20 { // the other broken node is dead: there is one that works of two
		tick(t, c, n, broken, others[:1], cluster.Working)
	}
	group.want(t)
}

// Most of the others do not suffice: the one that is broken too may be the last to have a copy of something.
func TestMostOthersDoNotSuffice(t *testing.T) {
	n, others, group, c := inGroup(t)
	for _, id := range []string{"i-4", "i-5"} {
		others = append(others, startNode(t, n.db, c, id, nil))
	}
	for _, other := range others[2:] { // those before know of it once it has written
		_, _ = other.Peers(t.Context())
	}
	broken := cluster.Status{State: cluster.Broken}
	for range 20 {
		tick(t, c, n, broken, others, cluster.Working, cluster.Working, cluster.Working, cluster.Broken)
	}
	group.want(t)
	for range 2 {
		tick(t, c, n, broken, others, cluster.Working, cluster.Working, cluster.Working, cluster.Working)
	}
	group.want(t, callUnhealthy)
}

func TestLoneNodeIsNotGivenUp(t *testing.T) {
	db, group, c := newDatabase(t), newAutoScaling(t), newClock()
	n := startNode(t, db, c, "i-1", func(cfg *aws.Config) {
		cfg.Group, cfg.Endpoints.AutoScaling, cfg.UnhealthyAfter = "hubs", group.server.URL, 2*time.Minute
	})
	for range 20 {
		tick(t, c, n, cluster.Status{State: cluster.Broken}, nil)
	}
	group.want(t)
}

func TestLifecycleHook(t *testing.T) {
	n, _, group, c := inGroup(t)
	n.report(t, cluster.Working, "")
	group.take()
	n.set("autoscaling/target-lifecycle-state", "InService")
	n.report(t, cluster.Leaving, "evicted by an operator") // no hook waits for that
	group.want(t)

	n.set("autoscaling/target-lifecycle-state", "Terminated")
	n.report(t, cluster.Leaving, "scaled in")
	group.want(t, callExtend)
	for range 6 { // once a minute
		c.pass(10 * time.Second)
		n.report(t, cluster.Leaving, "scaled in")
	}
	group.want(t, callExtend)
	n.report(t, cluster.Left, "scaled in")
	group.want(t, callComplete)
	n.report(t, cluster.Left, "scaled in")
	group.want(t)
}

func TestHookIsOver(t *testing.T) {
	n, _, group, _ := inGroup(t)
	n.set("autoscaling/target-lifecycle-state", "Terminated")
	group.fail("ValidationError")
	n.report(t, cluster.Left, "")
	group.want(t, callComplete)
	n.report(t, cluster.Left, "")
	group.want(t)
	if !strings.Contains(n.log.String(), "lifecycle hook is over already") {
		t.Errorf("the log does not tell that the hook was over:\n%s", n.log)
	}
}

func TestGroupFaults(t *testing.T) {
	n, _, group, _ := inGroup(t)
	n.set("autoscaling/target-lifecycle-state", "Terminated")
	for _, c := range []struct {
		state cluster.State
		code  string
		want  []string
	}{
		{cluster.Working, "AccessDenied", []string{"tell Auto Scaling that i-1 is Healthy", "lacks the permission autoscaling:SetInstanceHealth"}},
		{cluster.Working, "ValidationError", []string{"tell Auto Scaling", "ValidationError"}},
		{cluster.Leaving, "AccessDenied", []string{"hook leave", "lacks the permission autoscaling:RecordLifecycleActionHeartbeat"}},
		{cluster.Left, "AccessDenied", []string{"hook leave", "lacks the permission autoscaling:CompleteLifecycleAction"}},
		{cluster.Left, "ExpiredToken", []string{"have expired"}},
		{cluster.Left, "Throttling", []string{"AWS throttles autoscaling:CompleteLifecycleAction"}},
	} {
		group.fail(c.code)
		wantError(t, n.Report(t.Context(), cluster.Status{State: c.state}), c.want...)
	}
	n.fail(true)
	err := n.Report(t.Context(), cluster.Status{State: cluster.Left})
	wantError(t, err, "instance metadata autoscaling/target-lifecycle-state")
	n.fail(false)
	group.fail("")
	group.take()
	n.report(t, cluster.Left, "") // what failed is done again
	group.want(t, callComplete)
}

// The row is written though Auto Scaling fails, and the other way round.
func TestOneFaultKeepsNothingBack(t *testing.T) {
	db, group := newDatabase(t), newAutoScaling(t)
	n := startNode(t, db, nil, "i-1", func(cfg *aws.Config) {
		cfg.Group, cfg.Endpoints.AutoScaling = "hubs", group.server.URL
	})
	group.fail("AccessDenied")
	wantError(t, n.Report(t.Context(), cluster.Status{State: cluster.Working}), "SetInstanceHealth")
	if row := db.row("i-1"); row["state"] != "working" {
		t.Errorf("the row is %v, want it working", row)
	}
	group.fail("")
	group.take()
	db.fail("UpdateItem", 400, "AccessDeniedException")
	wantError(t, n.Report(t.Context(), cluster.Status{State: cluster.Working}), "dynamodb:UpdateItem")
	group.want(t, callHealthy)
}
