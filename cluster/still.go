package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// stillFor is how long nothing may have been stored in any sealed stream of several replicas. heardWithin is how recently a leader must have heard of a replica for it to be there: it
// hears from each every second.
const (
	stillFor    = 2 * time.Second
	heardWithin = 3 * time.Second
)

// still proves that the ends of sealed streams are their ends. With one replica the answer to the seal does. With several a batch may have been on its way through the group when its leader
// learnt of the seal: it is stored later, and acknowledged. So enough replicas must follow the leader for that to happen at once, and then nothing must happen for a while.
type still struct {
	js    jetstream.JetStream
	ends  []uint64 // last sequences, by partition
	since time.Time
}

// look reports whether the streams of a layout have come to their end, and why not.
func (s *still) look(ctx context.Context, l wire.Layout) (bool, string, error) {
	ends, several, moving := []uint64{}, false, ""
	for p := range l.Partitions {
		stream, err := s.js.Stream(ctx, l.Stream(p))
		if err != nil {
			return false, "", fmt.Errorf("open stream %s: %w", l.Stream(p), err)
		}
		info := stream.CachedInfo()
		several = several || info.Config.Replicas > 1
		if !info.Config.Sealed || !followed(info) {
			moving = info.Config.Name
		}
		ends = append(ends, info.State.LastSeq)
	}
	if !several {
		return true, "", nil
	}
	if moving != "" || !slices.Equal(ends, s.ends) {
		s.ends, s.since = ends, time.Now()
	}
	return moving == "" && time.Since(s.since) >= stillFor, moving, nil
}

// followed says that the leader of a stream leads more than half of its replicas, itself among them: what it has proposed is stored within a moment. One that is cut off does not know yet
// that it leads nobody, but it hears of nobody.
func followed(info *jetstream.StreamInfo) bool {
	if info.Config.Replicas < 2 {
		return true
	}
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return false
	}
	there := 1
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline && r.Lag == 0 && r.Active < heardWithin {
			there++
		}
	}
	return there >= info.Config.Replicas/2+1
}
