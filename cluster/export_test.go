package cluster

import (
	"context"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// SetStop is told every step of every change of a layout in this process.
func SetStop(f func(step string)) { stop = f }

// ConnectInProcess is how hub, leaf and node connect to their own servers.
var ConnectInProcess = connectInProcess

// Still makes what proves that the sealed streams of a layout are at their end.
func Still(js jetstream.JetStream) func(context.Context, wire.Layout) (bool, string, error) {
	return (&still{js: js}).look
}

// Followed says whether the leader of a stream is to be believed.
var Followed = followed

// Held is the last sequence that this node itself has of a stream; 0: it has nothing.
func (h *Hub) Held(stream string) uint64 {
	info, err := h.server.Jsz(&server.JSzOptions{Account: accountLogs, Streams: true})
	if err != nil {
		return 0
	}
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			if s.Name == stream {
				return s.State.LastSeq
			}
		}
	}
	return 0
}

// DialsAsNobody says that the node would dial some address without saying which hub it is of.
func (h *Hub) DialsAsNobody() bool { return h.node.dialsAsNobody() }
