package cluster

import (
	"fmt"
	"slices"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/logdrive/logdrive/cluster/wire"
)

// storeBytes is what the account may keep on disk for layouts. A cluster counts every copy.
func (h *Hub) storeBytes(layouts ...wire.Layout) int64 {
	return storeBytes(layouts...) * int64(h.replicas())
}

// options are those of the server as it shall be now.
func (h *Hub) options() (*server.Options, error) {
	if h.node.self.Spoke {
		return relayOptions(h.cfg, h.node.password)
	}
	o, err := hubOptions(h.cfg, h.limit)
	if err != nil {
		return nil, err
	}
	if h.node.self.Zone != "" && !h.cfg.AnyZone {
		o.JetStreamUniqueTag = zoneTag
	}
	if h.led == nil {
		return o, nil
	}
	at := slices.IndexFunc(o.Accounts, func(a *server.Account) bool { return a.Name == accountLogs })
	return o, mapSubjects(o.Accounts[at], *h.led)
}

// mapSubjects leads batches into the partitions.
func mapSubjects(account *server.Account, l wire.Layout) error {
	if err := account.AddMapping(wire.LogSubjects, wire.Mapping(l.Number, l.Partitions)); err != nil {
		return fmt.Errorf("map %s: %w", wire.LogSubjects, err)
	}
	return nil
}

// lead leads batches into the partitions of a layout.
func (h *Hub) lead(l wire.Layout) error {
	h.node.loading.Lock()
	defer h.node.loading.Unlock()
	account, err := h.account()
	if err == nil {
		err = mapSubjects(account, l)
	}
	if err == nil {
		h.led = &l
	}
	return err
}

// leadNowhere leaves batches without an answer.
func (h *Hub) leadNowhere() error {
	h.node.loading.Lock()
	defer h.node.loading.Unlock()
	account, err := h.account()
	if err != nil {
		return err
	}
	account.RemoveMapping(wire.LogSubjects)
	h.led = nil
	return nil
}

// allow lets the account of the streams use what the layouts need.
func (h *Hub) allow(layouts ...wire.Layout) error {
	h.node.loading.Lock()
	defer h.node.loading.Unlock()
	limit := h.storeBytes(layouts...)
	if limit == h.limit {
		return nil
	}
	account, err := h.account()
	if err != nil {
		return err
	}
	limits := account.JetStreamUsage().Limits
	limits.MaxStore = limit
	if err := account.UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": limits}); err != nil {
		return fmt.Errorf("allow %d bytes of streams: %w", limit, err)
	}
	h.limit = limit
	return nil
}
