package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Times of dialling.
const (
	glanceEvery = 10 * time.Millisecond // at the server, while it dials
	giveUpSoon  = 2 * time.Second       // on an address that does not answer at all, if there is another
	giveUp      = 3 * dialTimeout       // if there is not; the server itself has given up by then
)

// steering decides to which hub node the leaf is linked, and when the link must be made anew. The server gets one address at a time, by a reload of its options.
// Its run owns it.
type steering struct {
	cfg     LeafConfig
	log     *slog.Logger
	server  *server.Server
	options *server.Options // with what the server itself has added at its start: less would be a change of its users
	nc      *nats.Conn
	hubs    *hubs
	account string // of the server that is linked; "": its only one
	faults  *faults
	course  *atomic.Pointer[course]
	dials   int
	moveTo  *hub          // a node that has come, and that this agent goes to; nil: it stays
	moveAt  time.Time     // when
	misses  int           // questions that may stay without an answer
	bear    time.Duration // how long a node may be cut off from the others before the agent goes elsewhere
}

func newSteering(cfg LeafConfig, log *slog.Logger, s *server.Server, options *server.Options, nc *nats.Conn, hubs *hubs, faults *faults) *steering {
	return &steering{
		cfg: cfg, log: log, server: s, options: options, nc: nc, hubs: hubs, faults: faults,
		course: new(atomic.Pointer[course]), misses: pulseMiss, bear: bearLeast,
	}
}

// course is where the leaf is or goes, for those who ask.
type course struct {
	hub   string
	node  string
	known int
}

// run keeps the link up until ctx ends.
func (s *steering) run(ctx context.Context) error {
	target := s.hubs.next(ctx)
	for ctx.Err() == nil {
		linked, err := s.dial(ctx, target)
		if err != nil {
			return err
		}
		if !linked {
			target.failed = time.Now()
			s.pause(ctx)
			target = s.hubs.next(ctx)
			continue
		}
		s.faults.made()
		s.log.Info("linked to the hub", "hub", target.address())
		moveTo, reason := s.stay(ctx, target)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Info("leaving this link to the hub", "hub", target.address(), "reason", reason)
		if moveTo == nil {
			target.failed = time.Now()
			if s.linked() {
				s.faults.observe(true, "the link to the hub was given up: "+reason)
			}
			s.pause(ctx)
			moveTo = s.hubs.next(ctx)
		}
		target = moveTo
	}
	return nil
}

// dial tells the server the one address and waits until it is linked there, or has failed, or has had time enough. The number in the URL makes each attempt one of its own to the
// server: what is still under way of an earlier one is dropped.
func (s *steering) dial(ctx context.Context, h *hub) (linked bool, err error) {
	s.dials++
	s.course.Store(&course{h.address(), "", len(s.hubs.all)})
	at := h.url
	at.Fragment = strconv.Itoa(s.dials)
	remote, err := leafRemote(s.cfg, &at)
	if err != nil {
		return false, err
	}
	remote.LocalAccount = s.account
	if s.linked() { // its end is no failure of this attempt
		s.faults.expect("")
		if err := s.reload(); err != nil {
			return false, fmt.Errorf("end a link to the hub: %w", err)
		}
	}
	s.faults.expect(at.Host)
	if err := s.reload(remote); err != nil {
		return false, fmt.Errorf("let the leaf dial %s: %w", h.address(), err)
	}
	patience := giveUp
	if s.hubs.others(h) {
		patience = giveUpSoon
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	look := time.NewTicker(glanceEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case <-end.C:
			s.faults.observe(true, fmt.Sprintf("%s does not answer within %v", h.address(), patience))
			return false, nil
		case <-look.C:
		}
		switch {
		case s.linked():
			return true, nil
		case s.faults.failed():
			return false, nil
		}
	}
}

// linked says that the hub is reached now. What is linked to this server, if it is a relay, does not count.
func (s *steering) linked() bool {
	up, err := uplinks(s.server)
	return err == nil && len(up) > 0
}

// reload gives the server the addresses it is to dial. Links to others it ends.
func (s *steering) reload(remotes ...*server.RemoteLeafOpts) error {
	options := s.options.Clone()
	options.LeafNode.Remotes = remotes
	return s.server.ReloadOptions(options)
}

// pause waits before the next attempt: shorter while there is an address that has not failed, but never not at all, since a fleet that lost its hub together must not come
// back in step.
func (s *steering) pause(ctx context.Context) {
	pause := rand.N(relinkEvery)
	if len(s.hubs.fresh()) == 0 {
		pause += relinkEvery
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
