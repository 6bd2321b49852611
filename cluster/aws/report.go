package aws

import (
	"context"
	"errors"
	"fmt"

	"github.com/logdrive/logdrive/cluster"
)

// Report writes state and reason to the node's row, and tells the Auto Scaling group: healthy when it works, unhealthy when it was broken for long while
// all others work, to wait while it leaves, to go on when it has left. What fails does not keep the rest from being done. Left is the last word: what is reported after it, by
// somebody who has not heard of it yet, is not taken.
func (a *Adapter) Report(ctx context.Context, s cluster.Status) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	if err := a.identify(ctx); err != nil {
		return fmt.Errorf("aws: %w", err)
	}
	if a.table.status.State == cluster.Left && s.State != cluster.Left {
		return nil
	}
	a.table.say(s)
	faults := []error{a.table.beat(ctx)}
	if a.group != nil {
		faults = append(faults, a.group.report(ctx, s, a.others.othersWork(), a.now()))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("aws: %w", err)
	}
	return nil
}
