package cluster

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// HubStats is what a hub node knows about itself.
type HubStats struct {
	Leaves  int           // agents linked to this node
	Streams []StreamStats // by partition
}

// StreamStats is the state of one partition's stream.
type StreamStats struct {
	Name     string
	Bytes    int64 // held now
	MaxBytes int64 // it takes no more beyond these
	Messages uint64
	First    uint64 // sequence
	Last     uint64 // sequence
}

// Stats asks the server of this node, not the network.
func (h *Hub) Stats() (HubStats, error) {
	layout := *h.layout.Load()
	stats := HubStats{Leaves: h.server.NumLeafNodes(), Streams: make([]StreamStats, layout.Partitions)}
	info, err := h.server.Jsz(&server.JSzOptions{Account: accountLogs, Streams: true})
	if err != nil {
		return HubStats{}, fmt.Errorf("ask server for its streams: %w", err)
	}
	held := map[string]server.StreamState{}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			held[s.Name] = s.State
		}
	}
	for p := range stats.Streams {
		name := layout.Stream(p)
		state := held[name]
		stats.Streams[p] = StreamStats{
			Name: name, Bytes: int64(state.Bytes), MaxBytes: layout.StreamBytes,
			Messages: state.Msgs, First: state.FirstSeq, Last: state.LastSeq,
		}
	}
	return stats, nil
}
