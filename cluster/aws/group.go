package aws

import (
	"context"
	"errors"
	"log/slog"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"

	"github.com/logdrive/logdrive/cluster"
)

// repeatEvery is how often Auto Scaling is told again that the instance is unhealthy: it may have been busy, or suspended, the first time.
const repeatEvery = 5 * time.Minute

// Words of Auto Scaling.
const (
	healthy    = "Healthy"
	unhealthy  = "Unhealthy"
	terminated = "Terminated"
	goOn       = "CONTINUE"
)

// group tells the Auto Scaling group how the instance is.
type group struct {
	client    *autoscaling.Client
	cfg       Config
	id        identity
	imds      metadata
	log       *slog.Logger
	complaint complaint

	brokenSince time.Time // zero: it is not broken
	told        string    // health that Auto Scaling was told last by this process
	toldAt      time.Time
	spared      bool      // it was said that the instance is not given up
	extendedAt  time.Time // when the hook was last told to wait
	completed   bool
}

func newGroup(sdk awssdk.Config, cfg Config, id identity, imds metadata, log *slog.Logger) *group {
	client := autoscaling.NewFromConfig(sdk, func(o *autoscaling.Options) {
		if cfg.Endpoints.AutoScaling != "" {
			o.BaseEndpoint = &cfg.Endpoints.AutoScaling
		}
	})
	return &group{client: client, cfg: cfg, id: id, imds: imds, log: log, complaint: complaint{region: sdk.Region}}
}

// report does what a state asks for. othersWork says whether the cluster can spare this node.
func (g *group) report(ctx context.Context, s cluster.Status, othersWork bool, now time.Time) error {
	switch s.State {
	case cluster.Working:
		g.brokenSince, g.spared = time.Time{}, false
		return g.tell(ctx, healthy, now)
	case cluster.Broken:
		return g.broken(ctx, s, othersWork, now)
	case cluster.Leaving:
		return g.extend(ctx, now)
	case cluster.Left:
		return g.complete(ctx)
	}
	return nil
}

// broken gives the instance up after a long time, and only when the rest of the cluster does well without it: where several nodes are broken, to
// replace them all by empty ones is to lose what they hold.
func (g *group) broken(ctx context.Context, s cluster.Status, othersWork bool, now time.Time) error {
	if g.brokenSince.IsZero() {
		g.brokenSince = now
	}
	if now.Sub(g.brokenSince) < g.cfg.UnhealthyAfter {
		return nil
	}
	if !othersWork {
		if !g.spared {
			g.log.Error("broken for long, but not all others work: the instance is not given up", "reason", s.Reason)
		}
		g.spared = true
		return nil
	}
	return g.tell(ctx, unhealthy, now)
}

func (g *group) tell(ctx context.Context, health string, now time.Time) error {
	if g.told == health && (health == healthy || now.Sub(g.toldAt) < repeatEvery) {
		return nil
	}
	// The group's grace period is for instances that have just started; how long this one may be broken is said in the config.
	_, err := g.client.SetInstanceHealth(ctx, &autoscaling.SetInstanceHealthInput{
		InstanceId: &g.id.instance, HealthStatus: &health, ShouldRespectGracePeriod: awssdk.Bool(false),
	})
	if err != nil {
		return g.complaint.about("tell Auto Scaling that "+g.id.instance+" is "+health, "autoscaling:SetInstanceHealth", err)
	}
	g.told, g.toldAt = health, now
	g.log.Info("told Auto Scaling", "health", health)
	return nil
}

// extend makes the lifecycle hook wait on while the node leaves.
func (g *group) extend(ctx context.Context, now time.Time) error {
	if g.cfg.Hook == "" || !g.extendedAt.IsZero() && now.Sub(g.extendedAt) < g.cfg.ExtendEvery {
		return nil
	}
	if ends, err := g.isTerminated(ctx); err != nil || !ends {
		return err
	}
	_, err := g.client.RecordLifecycleActionHeartbeat(ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{
		AutoScalingGroupName: &g.cfg.Group, LifecycleHookName: &g.cfg.Hook, InstanceId: &g.id.instance,
	})
	if err != nil {
		return g.complaint.about("keep lifecycle hook "+g.cfg.Hook+" waiting", "autoscaling:RecordLifecycleActionHeartbeat", err)
	}
	g.extendedAt = now
	return nil
}

// complete lets Auto Scaling go on. When it is not Auto Scaling that ends the node, no hook waits.
func (g *group) complete(ctx context.Context) error {
	if g.cfg.Hook == "" || g.completed {
		return nil
	}
	if ends, err := g.isTerminated(ctx); err != nil || !ends {
		return err
	}
	_, err := g.client.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
		AutoScalingGroupName: &g.cfg.Group, LifecycleHookName: &g.cfg.Hook, InstanceId: &g.id.instance,
		LifecycleActionResult: awssdk.String(goOn),
	})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "ValidationError" { // the hook waits no more: it was completed before, or has timed out
		g.log.Warn("lifecycle hook is over already", "hook", g.cfg.Hook, "err", err)
		err = nil
	}
	if err != nil {
		return g.complaint.about("complete lifecycle hook "+g.cfg.Hook, "autoscaling:CompleteLifecycleAction", err)
	}
	g.completed = true
	g.log.Info("told Auto Scaling that the node has left", "hook", g.cfg.Hook)
	return nil
}

func (g *group) isTerminated(ctx context.Context) (bool, error) {
	state, err := g.imds.get(ctx, pathLifecycle)
	return state == terminated, err
}
