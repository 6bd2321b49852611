package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster/wire"
)

// A node tells the others every beaconEvery that it is there. One that has said nothing for beaconGone is told to no agent any more.
const (
	beaconSubject = "beacon" // in the account of the streams, which agents cannot reach
	beaconEvery   = time.Second
	beaconGone    = 5 * time.Second
	beaconQueue   = 4096 // words and questions that may wait; of more, some are lost, and asked again
)

// beacon is a node's word that it is there, to the other nodes and to agents. The server's own gossip of leaf addresses will not do: see DESIGN.md, Links.
// Its run owns it.
type beacon struct {
	nc      *nats.Conn
	well    func() bool // agents may stay with this node
	self    wire.Node
	log     *slog.Logger
	others  map[string]sighting // by name
	serving bool
	answer  []byte // to agents, as of the last change
}

// sighting is another node, and when it last spoke.
type sighting struct {
	wire.Node
	at time.Time
}

// word is what a node says to the others.
type word struct {
	wire.Node
	Bye bool `json:"bye,omitempty"` // it ends
}

func newBeacon(nc *nats.Conn, well func() bool, self wire.Node, log *slog.Logger) *beacon {
	return &beacon{nc: nc, well: well, self: self, log: log, others: map[string]sighting{}}
}

// run speaks, listens and answers until ctx ends. Nothing in it waits for JetStream: an agent shall be able to tell a slow or full hub from a dead link.
// Agents name the node that they ask: of several that answer to one name the server would choose any, also one that is paused, behind a link that is well.
func (b *beacon) run(ctx context.Context) error {
	words, questions := make(chan *nats.Msg, beaconQueue), make(chan *nats.Msg, beaconQueue)
	for subject, ch := range map[string]chan *nats.Msg{beaconSubject: words, wire.NodesSubjectsOf(b.self.Name): questions} {
		sub, err := b.nc.ChanSubscribe(subject, ch)
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	tick := time.NewTicker(beaconEvery)
	defer tick.Stop()
	for b.tick(); ; {
		select {
		case <-ctx.Done():
			b.say(true)
			return nil
		case <-tick.C:
			b.tick()
		case msg := <-words:
			b.hear(msg.Data)
		case msg := <-questions:
			if err := msg.Respond(b.answer); err != nil {
				b.log.Debug("an agent is not answered", "err", err)
			}
		}
	}
}

func (b *beacon) tick() {
	b.serving = b.well()
	maps.DeleteFunc(b.others, func(_ string, s sighting) bool { return time.Since(s.at) > beaconGone })
	b.update()
	b.say(false)
}

func (b *beacon) say(bye bool) {
	data, err := json.Marshal(word{Node: b.self, Bye: bye})
	if err == nil {
		err = b.nc.Publish(beaconSubject, data)
	}
	if err != nil {
		b.log.Debug("other nodes are not told of this one", "err", err)
	}
}

func (b *beacon) hear(data []byte) {
	var w word
	if err := json.Unmarshal(data, &w); err != nil || w.Name == b.self.Name || w.Cluster != b.self.Cluster {
		return
	}
	_, known := b.others[w.Name]
	switch {
	case w.Bye:
		delete(b.others, w.Name)
	default:
		b.others[w.Name] = sighting{w.Node, time.Now()}
	}
	if known == w.Bye { // it came or went
		b.update()
	}
}

// update makes the answer anew.
func (b *beacon) update() {
	all := []wire.Node{b.self}
	for _, s := range b.others {
		all = append(all, s.Node)
	}
	slices.SortFunc(all, func(x, y wire.Node) int { return strings.Compare(x.Name, y.Name) })
	answer, err := json.Marshal(wire.Nodes{Name: b.self.Name, Serving: b.serving, Nodes: all})
	if err != nil {
		b.log.Error("the list of nodes cannot be encoded", "err", err)
		return
	}
	b.answer = answer
}

// serving says that this node is not cut off from the others: it knows who leads JetStream. Batches through a node that does not reach no stream.
func serving(s *server.Server) bool {
	if !s.JetStreamIsClustered() {
		return true
	}
	info, err := s.Jsz(nil)
	return err == nil && info.Meta != nil && info.Meta.Leader != ""
}

// sendLeavesAway ends the links of agents before the server closes its streams, which may take long: they go to another node at once.
func sendLeavesAway(s *server.Server) {
	leaves, err := s.Leafz(nil)
	if err != nil {
		return
	}
	for _, leaf := range leaves.Leafs {
		_ = s.DisconnectClientByID(leaf.ID) // one that has gone by itself is as good
	}
}
