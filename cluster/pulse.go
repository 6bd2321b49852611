package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster/wire"
)

// The pulse of a link: the leaf asks the hub node at its other end, every pulseEvery, which nodes there are. A link over which nothing has come for pulseMiss questions,
// while what was given to it could have passed at slowLink, is dead. After each dead link the patience doubles, until one has lived for pulseWell.
const (
	pulseEvery   = 2 * time.Second
	pulseMiss    = 3
	pulseMissMax = 4 * pulseMiss
	pulseWell    = time.Minute
	slowLink     = 256 << 10              // bytes a second; with less and a full batch in flight, the server's own pings decide
	linkEvery    = 200 * time.Millisecond // between looks whether the link is still there
	moveWithin   = 30 * time.Second       // agents come to a new node one by one
	bearLeast    = 5 * time.Second        // a node that is cut off from the others, the first time; twice as long each time
	bearMost     = 5 * time.Minute
)

// pulse is what the leaf knows of the life in one link. The goroutine of the steering owns it.
type pulse struct {
	*steering
	at         *hub
	node       string // the server at the other end
	inbox      string
	began      time.Time
	answered   bool      // at least once: a hub that does not know the question is left to the server's pings
	unanswered int       // questions since the last sign of life
	in, out    int64     // bytes that had come over the link, and gone to it, at that sign
	lost       time.Time // since when the node lacks the others around it; zero: it does not
}

// stay watches the link until it has ended, is dead, or another node is better: to that one it gives the way, and nil if any will do.
func (s *steering) stay(ctx context.Context, at *hub) (moveTo *hub, reason string) {
	answers := make(chan *nats.Msg, 64) // more than come between two looks
	p := &pulse{steering: s, at: at, inbox: s.nc.NewInbox(), began: time.Now()}
	sub, err := s.nc.ChanSubscribe(p.inbox, answers)
	if err != nil {
		return nil, fmt.Sprintf("the leaf's own client fails: %v", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	ask, look := time.NewTicker(pulseEvery), time.NewTicker(linkEvery)
	defer ask.Stop()
	defer look.Stop()
	for p.ask(); ; {
		select {
		case <-ctx.Done():
			return nil, ""
		case msg := <-answers:
			if moveTo, reason := p.heed(msg); reason != "" {
				return moveTo, reason
			}
		case <-look.C:
			if !s.linked() {
				return nil, "it ended"
			}
			if !p.answered && time.Since(p.began) < pulseEvery {
				p.ask() // the hub has not yet told this leaf what it answers
			}
		case <-ask.C:
			if p.dead() {
				s.misses = min(2*s.misses, pulseMissMax)
				return nil, fmt.Sprintf("it is up, but nothing has come over it for %d questions", p.unanswered)
			}
			p.unanswered++
			p.ask()
		}
	}
}

func (p *pulse) ask() {
	if p.node == "" {
		if links, err := uplinks(p.server); err == nil && len(links) > 0 {
			p.node = links[0].Name
		}
	}
	if err := p.nc.PublishRequest(wire.NodesSubject(p.node, p.cfg.Host), p.inbox, nil); err != nil {
		p.log.Debug("the hub is not asked for its nodes", "err", err)
	}
}

// dead says that nothing lives at the other end. Any message that comes is a sign of life, the refusals of a full hub too; the answer of one whose disk is slow or whose
// partition has no leader is not needed, since the question goes past the streams. Questions are counted, not seconds: an agent that was itself paused has asked nothing meanwhile.
func (p *pulse) dead() bool {
	in, out := p.traffic()
	if in != p.in || !p.answered {
		p.in, p.out, p.unanswered = in, out, 0
	}
	ahead := (out - p.out) / int64(slowLink*pulseEvery/time.Second)
	return int64(p.unanswered) >= int64(p.misses)+ahead
}

// traffic is how many bytes of messages have come over the link and were given to it.
func (p *pulse) traffic() (in, out int64) {
	links, err := uplinks(p.server)
	if err != nil {
		return p.in, p.out
	}
	for _, l := range links {
		in, out = in+l.InBytes, out+l.OutBytes
	}
	return in, out
}

// heed takes an answer of the hub. With a reason, the leaf goes elsewhere.
func (p *pulse) heed(msg *nats.Msg) (moveTo *hub, reason string) {
	told, err := wire.DecodeNodes(msg.Data)
	if err != nil || told.Name == "" {
		return nil, "" // nobody answers that question there, or not yet
	}
	p.in, p.out = p.traffic()
	p.unanswered, p.answered = 0, true
	if time.Since(p.began) > pulseWell {
		p.misses = pulseMiss
	}
	before := len(p.hubs.all)
	there := p.hubs.learn(told, p.at)
	if now := len(p.hubs.all); now != before {
		p.log.Info("other nodes of the hub were learnt or forgotten", "known", p.hubs.list())
	}
	p.course.Store(&course{p.at.address(), told.Name, len(p.hubs.all)})
	if !told.Serving {
		return nil, p.cutOff()
	}
	p.lost, p.bear = time.Time{}, bearLeast
	if to := p.share(told, there); to != nil && to != p.at {
		return to, "this agent goes to another node, so that all have their share"
	}
	return nil, ""
}

// cutOff says why to leave a node that lacks the others around it: batches through it reach no stream. When all are like that, agents go round ever more slowly.
func (p *pulse) cutOff() string {
	if p.lost.IsZero() {
		p.lost = time.Now()
	}
	if time.Since(p.lost) < p.bear || !p.hubs.others(p.at) {
		return ""
	}
	p.bear = min(2*p.bear, bearMost)
	return "that node is cut off from the others"
}

// share gives the node this agent should go to now, so that agents are spread over all nodes, or nil. When a node comes, its share goes there one by one.
func (s *steering) share(told wire.Nodes, there []*hub) *hub {
	first := s.hubs.present == nil
	if newcomers := s.hubs.newcomers(told); len(newcomers) > 0 && len(there) > 0 && (!first || !s.hubs.spread(there)) {
		s.moveTo, s.moveAt = s.hubs.draw(there, newcomers), time.Now()
		if !first {
			s.moveAt = s.moveAt.Add(rand.N(moveWithin))
		}
	}
	to := s.moveTo
	if to == nil || time.Now().Before(s.moveAt) {
		return nil
	}
	s.moveTo = nil
	if !slices.Contains(there, to) || !to.fresh() {
		return nil // it has gone again
	}
	return to
}
