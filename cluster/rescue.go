package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// rescueStep is how often a rescued cluster is looked at.
const rescueStep = 250 * time.Millisecond

// Rescue gives a cluster without a leader one again, from the members that are there, and takes out those that are not. It is for people who know that these are lost for good: one that is
// only out of reach, and leads others there, would be a second cluster of the same name, and the two would never agree again.
func (n *Node) Rescue(ctx context.Context) (Members, error) {
	before, err := n.Members(ctx)
	if err != nil {
		return Members{}, err
	}
	if before.Leader != "" {
		return Members{}, fmt.Errorf("the cluster has a leader, %s, and needs no rescue: evict what is lost for good", before.Leader)
	}
	alive := before.there()
	if err := n.lowerQuorum(ctx, alive); err != nil {
		return Members{}, err
	}
	n.log.Warn("an operator rescues the cluster: those that are there lead it", "alive", alive, "members", before.names())
	for !n.serving() {
		select {
		case <-ctx.Done():
			return Members{}, errors.Join(fmt.Errorf("rescue: those that are there elect no leader: %w", context.Cause(ctx)), n.deserted())
		case <-time.After(rescueStep):
		}
	}
	return n.evictLost(ctx)
}

// deserted is why a member that is the only one left may not lead itself: a server that was started and that nothing has linked to since takes part in nothing.
func (n *Node) deserted() error {
	if n.server.NumRoutes()+n.server.NumLeafNodes() > 0 {
		return nil
	}
	return errors.New("nothing is linked to this node: start a new one in the place of one that is lost, then ask again")
}

// lowerQuorum tells the members that are there to be content with so many. They forget it after five minutes.
func (n *Node) lowerQuorum(ctx context.Context, alive []string) error {
	nc, err := n.ConnectSystem()
	if err != nil {
		return err
	}
	defer nc.Close()
	data, err := json.Marshal(server.JSApiMetaRescueRequest{QuorumNeeded: len(alive)})
	if err != nil {
		return fmt.Errorf("rescue: %w", err)
	}
	answers := make(chan *nats.Msg, 64)
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err == nil {
		err = nc.PublishRequest(server.JSApiMetaRescue, inbox, data)
	}
	if err != nil {
		return fmt.Errorf("rescue: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection ends with it
	var faults []error
	deadline := time.After(apiTimeout)
	for heard := 0; heard < len(alive); {
		select {
		case msg := <-answers:
			name, err := rescueAnswer(msg)
			if slices.Contains(alive, name) { // else it is new, and has nothing to vote with
				faults = append(faults, err)
				heard++
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("rescue: %d of %d nodes answer: %w", heard, len(alive), errors.Join(faults...))
		}
	}
	return errors.Join(faults...)
}

func rescueAnswer(msg *nats.Msg) (name string, err error) {
	var answer server.JSApiMetaRescueResponse
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return "", fmt.Errorf("rescue: %w", err)
	}
	if answer.Error != nil {
		return answer.Server, fmt.Errorf("rescue of %s: %w", answer.Server, answer.Error)
	}
	return answer.Server, nil
}

// evictLost takes out the members that are not there, one after the other, while the lowered quorum holds.
func (n *Node) evictLost(ctx context.Context) (Members, error) {
	for {
		m, err := n.Members(ctx)
		at := slices.IndexFunc(m.Members, func(k Member) bool { return k.Offline })
		if err == nil && m.Leader != "" && at < 0 && n.allCurrent(m) {
			return m, nil
		}
		if err == nil && at >= 0 {
			err = n.remove(ctx, m.Members[at])
			n.log.Warn("member that is not there is taken out of the rescued cluster", "name", m.Members[at].Name, "err", err)
		}
		select {
		case <-ctx.Done():
			return m, fmt.Errorf("rescue: take out those that are not there: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(rescueStep):
		}
	}
}

func (n *Node) allCurrent(m Members) bool {
	for _, k := range m.Members {
		if !k.Current {
			return false
		}
	}
	return true
}
