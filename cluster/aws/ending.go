package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/logdrive/logdrive/cluster"
)

// Where the instance's metadata announces its end.
const (
	pathLifecycle = "autoscaling/target-lifecycle-state"
	pathSpot      = "spot/instance-action"
	pathRebalance = "events/recommendations/rebalance"
)

// Ending asks the instance's metadata until it announces the end of the instance: by Auto Scaling, or as a spot instance. What it has announced it does
// not announce again. That a spot instance runs a raised risk is logged, no more: many run on for hours.
func (a *Adapter) Ending(ctx context.Context) (cluster.Ending, error) {
	tick := time.NewTicker(a.cfg.PollEvery)
	defer tick.Stop()
	for {
		what, ending, err := a.announcement(ctx)
		if ctx.Err() != nil {
			return cluster.Ending{}, context.Cause(ctx)
		}
		if err != nil {
			return cluster.Ending{}, fmt.Errorf("aws: %w", err)
		}
		if what != "" && what != a.announced {
			a.announced = what
			return ending, nil
		}
		select {
		case <-ctx.Done():
			return cluster.Ending{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// announcement is "" while none is made.
func (a *Adapter) announcement(ctx context.Context) (what string, e cluster.Ending, err error) {
	a.rebalance(ctx)
	// The spot notice comes first: it says when, and waits for nobody.
	what, e, spotErr := a.spotNotice(ctx)
	if what != "" {
		return what, e, nil
	}
	state, err := a.imds.get(ctx, pathLifecycle)
	switch state {
	case terminated, "Warmed:" + terminated:
		e = cluster.Ending{Reason: "Auto Scaling terminates the instance", ForGood: !a.cfg.VolumeStay}
	case "Warmed:Stopped", "Warmed:Hibernated":
		e = cluster.Ending{Reason: "Auto Scaling puts the instance into the warm pool"}
	default:
		return "", e, errors.Join(spotErr, err)
	}
	return pathLifecycle + " " + state, e, nil
}

func (a *Adapter) spotNotice(ctx context.Context) (what string, e cluster.Ending, err error) {
	text, err := a.imds.get(ctx, pathSpot)
	if err != nil || text == "" {
		return "", e, err
	}
	var notice struct {
		Action string
		Time   time.Time
	}
	if err := json.Unmarshal([]byte(text), &notice); err != nil {
		return "", e, fmt.Errorf("read instance metadata %s: %q: %w", pathSpot, text, err)
	}
	return pathSpot + " " + notice.Action, cluster.Ending{
		Reason:  "the spot instance is interrupted: " + notice.Action,
		ForGood: notice.Action == "terminate" && !a.cfg.VolumeStay,
		Before:  notice.Time,
	}, nil
}

// rebalance logs a recommendation once. That it cannot be read is no fault of its own: the reads after it tell.
func (a *Adapter) rebalance(ctx context.Context) {
	text, err := a.imds.get(ctx, pathRebalance)
	if err != nil || text == "" || a.recommended {
		return
	}
	a.recommended = true
	a.log.Info("EC2 recommends to replace this spot instance: its risk of interruption is raised", "says", text)
}
