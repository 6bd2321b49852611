package shipper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// ErrConflict says that another agent ships the same host now.
var ErrConflict = errors.New("another agent ships this host")

// ErrRefused says that the hub will not take batches from this agent, whatever it does.
var ErrRefused = errors.New("the hub refuses this agent")

// ask says hello once. after is the sequence up to which the chain is known; 0 asks for the whole table. tried is the fingerprint of a batch that may be the next one; "": none is.
func (s *Shipper) ask(ctx context.Context, after uint64, tried string, timeout time.Duration) (wire.Welcome, error) {
	question, err := wire.Hello{Version: wire.Version, Writer: s.cfg.Writer, Session: s.cfg.Session, After: after, Tried: tried}.Encode()
	if err != nil {
		return wire.Welcome{}, fmt.Errorf("encode hello: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := s.nc.RequestWithContext(ctx, wire.HelloSubject(s.cfg.Host), question)
	if err != nil {
		return wire.Welcome{}, fmt.Errorf("say hello: %w", err)
	}
	if text := answer.Header.Get("Nats-Service-Error"); text != "" {
		return wire.Welcome{}, fmt.Errorf("say hello: the hub answers: %s", text)
	}
	w, err := wire.DecodeWelcome(answer.Data)
	if err != nil {
		return wire.Welcome{}, err
	}
	return w, judge(w)
}

// errVersion says that hub and agent cannot understand each other until one of them is upgraded.
var errVersion = errors.New("hub and agent speak different protocol versions")

func judge(w wire.Welcome) error {
	switch {
	case w.Version != wire.Version:
		side := "hub"
		if w.Version > wire.Version {
			side = "agent"
		}
		return fmt.Errorf("%w: the hub %d, this agent %d; upgrade the %s", errVersion, w.Version, wire.Version, side)
	case w.Conflict:
		return fmt.Errorf("%w: %s", ErrConflict, w.Refusal)
	case w.Refusal != "":
		return fmt.Errorf("%w: %s", ErrRefused, w.Refusal)
	}
	return nil
}

// hello asks until there is an answer with a table (rule P4: without one nothing is published). A conflict is given time to pass, since the hub
// may not have noticed yet that an earlier agent of this host is gone. A hub of another version is waited for: who upgrades hubs one by one should not have to start
// agents, and an agent that ended would let go of files that are rotated meanwhile. With Once nobody waits.
func (s *Shipper) hello(ctx context.Context) (wire.Welcome, error) {
	wait := newBackoff(s.cfg.RetryMin, s.cfg.RetryMax)
	conflictSince := time.Time{}
	for timeout := s.cfg.AckTimeout; ; timeout = min(2*timeout, s.cfg.MaxAckTimeout) {
		w, err := s.ask(ctx, 0, "", timeout)
		switch {
		case err == nil && w.Table != nil:
			s.state.reached(true)
			return w, nil
		case err == nil:
			err = errors.New("say hello: the hub's answer has no table")
		case errors.Is(err, ErrRefused), errors.Is(err, errVersion) && s.cfg.Once:
			return w, err
		case errors.Is(err, ErrConflict):
			if conflictSince.IsZero() {
				conflictSince = time.Now()
			}
			if time.Since(conflictSince) > s.cfg.ConflictPatience {
				return w, err
			}
		}
		s.state.reached(false)
		s.complain("hub does not answer hello; the files wait", err)
		if err := wait.sleep(ctx); err != nil {
			return wire.Welcome{}, err
		}
	}
}

// known joins what the chain holds with what the checkpoint remembers (rules P4, P7, P9). The chain decides. Where it has lost its end, the generation is
// read again from what it still holds. A chain that is new (another hub, nothing in it) continues the positions that the former hub acknowledged.
// What the chain has forgotten of a source that goes on had come whole; while the checkpoint remembers it, rotated files are known however many there are. Of a source
// that the chain does not know any more nothing need be remembered.
func known(w wire.Welcome, chain checkpoint.Chain, remembered []tail.Generation) (all []tail.Generation, gone []tail.Finished) {
	sameChain := chain.Stream == w.Stream && chain.Created.Equal(w.Created)
	hints := map[place]tail.Generation{}
	for _, g := range remembered {
		hints[place{g.Source, g.Number}] = g
	}
	for source, extents := range w.Table.Sources {
		for _, e := range extents {
			g := generation(source, e)
			at := place{source, e.Generation}
			hint, ok := hints[at]
			if ok && sameChain && e.Identity == "" && hint.Offset > 0 {
				g.Identity = hint.Identity // a late writer's bytes came when the table had forgotten the rest
			}
			if ok && hint.Identity == g.Identity {
				g = hinted(g, hint)
			}
			delete(hints, at)
			all = append(all, g)
		}
	}
	for _, g := range hints {
		switch {
		case !sameChain && w.Head == 0:
			g.Unopened = true
			all = append(all, g)
		case sameChain && g.Number >= w.Table.Next(g.Source): // the chain once held it: the hub lost its end
			g.Unopened, g.Offset, g.Check, g.Length = true, 0, tail.Check{}, -1
			all = append(all, g)
		case len(w.Table.Sources[g.Source]) == 0:
			gone = append(gone, tail.Finished{Source: g.Source, Generation: g.Number})
		case sameChain && g.Offset > 0 && shippedWhole(g):
			g.Forgotten = true
			all = append(all, g)
		}
	}
	return all, gone
}

// learned is what the checkpoint does not say of positions that the chain has told. An agent that is killed again and again before it saves would otherwise have
// forgotten, like the chain, what stands rotated.
func learned(positions, remembered []tail.Generation) (news []tail.Generation) {
	says := map[place]tail.Generation{}
	for _, g := range remembered {
		says[place{g.Source, g.Number}] = g
	}
	for _, g := range positions {
		if !g.Unopened && !g.Forgotten && says[place{g.Source, g.Number}] != g {
			news = append(news, g)
		}
	}
	return news
}

func shippedWhole(g tail.Generation) bool { return g.Length >= 0 && g.Offset >= g.Length }

// hinted adds what the chain cannot tell: where the file stood, how big it was, and that it has ended when no successor was opened yet.
func hinted(g, hint tail.Generation) tail.Generation {
	g.Seen, g.Path = max(hint.Seen, g.Offset), hint.Path
	if g.Length < 0 && hint.Length >= 0 {
		g.Length = max(hint.Length, g.Offset)
	}
	if hint.Offset == g.Offset && hint.Check.Len > 0 {
		g.Check = hint.Check
	}
	return g
}

type place struct {
	source string
	number uint64
}

// generation is an extent as the tailer knows it. An identity that this program cannot read matches no file, so the file that stands there becomes the
// next generation: that may ship bytes again, under another number, but never mixes two files.
func generation(source string, e wire.Extent) tail.Generation {
	id, err := tail.ParseIdentity(e.Identity)
	if err != nil {
		id = tail.Identity{}
	}
	return tail.Generation{Source: source, Number: e.Generation, Identity: id, Offset: e.Offset, Length: e.Length, Check: tail.Check(e.Check)}
}
