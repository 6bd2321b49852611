package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// spreadEvery is how often the leaders of the streams are looked at. After the restart of a node it leads nothing until then.
const spreadEvery = 10 * time.Second

// leadBehind is how many batches a replica may be behind that can lead its stream, if its leader has heard of it within heardWithin. JetStream calls it current only while nothing is on its
// way to it, which under load may be never.
const leadBehind = 64

// spreader moves the leaders of streams from nodes that lead many to those that lead few: the leader of a stream does most of its work. The node that leads the cluster has it; two at once, or
// none, would do no harm.
type spreader struct {
	hub *Hub
	js  jetstream.JetStream
	log *slog.Logger
}

func (s *spreader) run(ctx context.Context) error {
	tick := time.NewTicker(spreadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !s.hub.server.JetStreamIsLeader() {
			continue
		}
		if err := s.spread(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("leaders of streams are not spread over the nodes; trying again", "err", err)
		}
	}
}

// spread moves one leader after the other until no node leads two more than another. A stream is led nowhere for some milliseconds meanwhile; agents offer the same bytes again.
func (s *spreader) spread(ctx context.Context) error {
	for {
		placed, err := s.placed(ctx)
		if err != nil {
			return err
		}
		stream, to := nextMove(placed)
		if stream == "" {
			return nil
		}
		if err := s.move(ctx, stream, to); err != nil {
			return err
		}
	}
}

// placement is where a stream is: its leader, and the nodes beside that which can lead it.
type placement struct {
	leader  string
	current []string
}

// placed tells where each stream of the layout is. It is an error while one is not whole: nothing is moved on top of that.
func (s *spreader) placed(ctx context.Context) (map[string]placement, error) {
	layout := *s.hub.layout.Load()
	all := map[string]placement{}
	for p := range layout.Partitions {
		stream, err := s.js.Stream(ctx, layout.Stream(p))
		if err != nil {
			return nil, fmt.Errorf("ask for stream %s: %w", layout.Stream(p), err)
		}
		at := stream.CachedInfo().Cluster
		if at == nil || at.Leader == "" {
			return nil, fmt.Errorf("stream %s has no leader", layout.Stream(p))
		}
		place := placement{leader: at.Leader}
		for _, r := range at.Replicas {
			if canLead(r) {
				place.current = append(place.current, r.Name)
			}
		}
		if len(place.current) < len(at.Replicas) {
			return nil, nil // one is away or behind: it may be back soon, and have its share then
		}
		all[layout.Stream(p)] = place
	}
	return all, nil
}

func canLead(r *jetstream.PeerInfo) bool {
	return !r.Offline && (r.Current || r.Active > 0 && r.Lag <= leadBehind) && r.Active < heardWithin
}

// nextMove is a stream whose leader should be another node, and which; "" when no node leads two more than another that could take one. The same input gives the same move.
func nextMove(placed map[string]placement) (stream, to string) {
	leads := map[string]int{}
	for _, p := range placed {
		leads[p.leader]++
	}
	best := 1
	for _, name := range slices.Sorted(maps.Keys(placed)) {
		p := placed[name]
		for _, node := range slices.Sorted(slices.Values(p.current)) {
			if gain := leads[p.leader] - leads[node]; gain > best {
				best, stream, to = gain, name, node
			}
		}
	}
	return stream, to
}

// move makes a node the leader of a stream.
func (s *spreader) move(ctx context.Context, stream, to string) error {
	wish, err := json.Marshal(map[string]any{"placement": map[string]string{"preferred": to}})
	if err != nil {
		return fmt.Errorf("move leader of stream %s: %w", stream, err)
	}
	asking, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	msg, err := s.js.Conn().RequestWithContext(asking, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, wish)
	if err != nil {
		return fmt.Errorf("move leader of stream %s to %s: %w", stream, to, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Error != nil {
		return fmt.Errorf("move leader of stream %s to %s: %w", stream, to, cmp.Or[error](err, answer.Error))
	}
	return s.awaitLeader(ctx, stream, to)
}

var errNotMoved = errors.New("another node has become its leader")

// awaitLeader blocks until the stream is led from there, so that the next look counts it.
func (s *spreader) awaitLeader(ctx context.Context, stream, to string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for {
		info, err := s.js.Stream(ctx, stream)
		if err == nil && info.CachedInfo().Cluster != nil && info.CachedInfo().Cluster.Leader == to {
			s.log.Info("stream has another leader", "stream", stream, "leader", to)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("move leader of stream %s to %s: %w", stream, to, errNotMoved)
		case <-time.After(serveStep):
		}
	}
}
