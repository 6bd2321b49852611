package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// healthEvery is how often the streams are asked whether they can still be written, healthTries how often in a row they must deny it.
const (
	healthEvery = time.Second
	healthTries = 3
)

// watch ends the hub when a stream cannot be written any more: after one failed write the server answers nobody until it is started anew.
// One bad answer is no proof: a stream that is being made looks like one that could not be recovered. In a cluster a stream may be behind for long, and the others serve meanwhile.
func (h *Hub) watch(ctx context.Context) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for broken := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := h.look()
		if err == nil {
			h.ill.Store(0)
		} else {
			h.ill.Add(1)
		}
		if err == nil || h.node.clustered() && !strings.Contains(err.Error(), "write error") {
			broken = 0
			continue
		}
		if broken++; broken >= healthTries {
			return fmt.Errorf("hub store %s is broken: %w: mend the disk or make room on it, then start the hub again; agents wait meanwhile", h.cfg.StoreDir, err)
		}
	}
}

// health asks the server about its JetStream and the layout's streams. Others in the account, such as a bucket whose making was cut
// short by a kill, are no reason to end.
func (h *Hub) health() error {
	ours := streamNames(*h.layout.Load())
	for _, fault := range h.server.Healthz(&server.HealthzOptions{Account: accountLogs, Details: true}).Errors {
		if fault.Stream == "" || slices.Contains(ours, fault.Stream) {
			return errors.New(fault.Error)
		}
	}
	return nil
}

// look is health, and in a cluster whether the streams here are those of the others. What the server calls healthy will not do: a replica that has not heard of its leader since it started
// knows nothing that it lacks.
func (h *Hub) look() error {
	if err := h.health(); err != nil || !h.node.clustered() {
		return err
	}
	info, err := h.server.Jsz(&server.JSzOptions{Account: accountLogs, Streams: true})
	if err != nil {
		return fmt.Errorf("ask server for its streams: %w", err)
	}
	ours := streamNames(*h.layout.Load())
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			if slices.Contains(ours, s.Name) && (s.Cluster == nil || s.Cluster.Leader == "") {
				return fmt.Errorf("stream %s has heard of no leader", s.Name)
			}
		}
	}
	return nil
}

// streamsFault is why the streams of this node are not what they should be. Until a node that was started again has what it missed, no other may be stopped, or its streams wait for this one.
// Later they count as behind after some bad looks in a row: a busy one is behind at any moment.
func (h *Hub) streamsFault() error {
	if h.ill.Load() < healthTries {
		return nil
	}
	if err := h.look(); err != nil {
		return fmt.Errorf("streams of this node are broken, or behind those of the others: %w", err)
	}
	return nil
}
