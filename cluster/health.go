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
	for ill := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := h.health()
		if err == nil || h.node.clustered() && !strings.Contains(err.Error(), "write error") {
			ill = 0
			continue
		}
		if ill++; ill >= healthTries {
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
