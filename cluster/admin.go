package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Subjects of what an operator may ask the nodes of a hub, in the account of the streams. They are answered without JetStream, for a hub that has no leader needs them most.
const (
	membersSubject = "hub.members"
	evictSubject   = "hub.evict"
	leaveSubject   = "hub.leave." // and the name of the node
	rescueSubject  = "hub.rescue"
)

// adminTimeout is how long an answer may take: a rescue waits for an election.
const adminTimeout = time.Minute

// wish is what an operator asks for.
type wish struct {
	Name  string `json:"name,omitempty"` // of the member it is about
	Force bool   `json:"force,omitempty"`
}

// admin answers an operator on behalf of one node.
type admin struct {
	node *Node
	log  *slog.Logger
	ctx  context.Context // of the node: an operator's wish ends with it
}

// run answers until ctx ends.
func (a *admin) run(ctx context.Context, nc *nats.Conn) error {
	a.ctx = ctx
	svc, err := micro.AddService(nc, micro.Config{Name: "logdrive-hub", Version: "1.0.0", Description: "tells operators of the hub's nodes, and takes nodes out"})
	if err != nil {
		return fmt.Errorf("add hub service: %w", err)
	}
	for _, e := range []struct {
		name, subject string
		answer        func(context.Context, wish) (any, error)
	}{
		{"members", membersSubject, func(ctx context.Context, _ wish) (any, error) { return a.node.Members(ctx) }},
		{"evict", evictSubject, func(ctx context.Context, w wish) (any, error) { return nil, a.node.Evict(ctx, w.Name, w.Force) }},
		{"leave", leaveSubject + a.node.name, a.leave},
		{"rescue", rescueSubject, func(ctx context.Context, _ wish) (any, error) { return a.node.Rescue(ctx) }},
	} {
		if err := svc.AddEndpoint(e.name, a.handler(e.name, e.answer), micro.WithEndpointSubject(e.subject)); err != nil {
			return errors.Join(fmt.Errorf("add endpoint %s: %w", e.name, err), svc.Stop())
		}
	}
	<-ctx.Done()
	if err := svc.Stop(); err != nil {
		return fmt.Errorf("stop hub service: %w", err)
	}
	return nil
}

func (a *admin) handler(name string, answer func(context.Context, wish) (any, error)) micro.Handler {
	return micro.HandlerFunc(func(r micro.Request) {
		ctx, cancel := context.WithTimeout(a.ctx, adminTimeout)
		defer cancel()
		var w wish
		err := json.Unmarshal(r.Data(), &w)
		var got any
		if err == nil {
			got, err = answer(ctx, w)
		}
		if name != "members" {
			a.log.Info("an operator asked", "for", name, "node", w.Name, "force", w.Force, "err", err)
		}
		if err == nil {
			err = r.RespondJSON(got)
		} else {
			err = r.Error("500", err.Error(), nil)
		}
		if err != nil {
			a.log.Warn("operator gets no answer", "to", name, "err", err)
		}
	})
}

// leave begins the leave of this node. What it says is that it has begun: the node is gone when it is no member any more.
func (a *admin) leave(ctx context.Context, w wish) (any, error) {
	m, err := a.node.Members(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.checkLeave(a.node.name, w.Force); err != nil {
		return nil, err
	}
	a.node.leaveNow(w.Force)
	return nil, nil
}

// HubMembers asks a hub for its members.
func HubMembers(ctx context.Context, nc *nats.Conn) (Members, error) {
	var m Members
	return m, askHub(ctx, nc, membersSubject, wish{}, &m)
}

// EvictMember takes a member that is lost for good out of a hub. The hub refuses when that would break it; force lets it have fewer members than copies of each batch.
func EvictMember(ctx context.Context, nc *nats.Conn, name string, force bool) error {
	return askHub(ctx, nc, evictSubject, wish{Name: name, Force: force}, nil)
}

// DismissMember makes a running member move what it holds to the others, leave and end, and returns when it is no member any more or ctx ends.
func DismissMember(ctx context.Context, nc *nats.Conn, name string, force bool) error {
	if err := askHub(ctx, nc, leaveSubject+name, wish{Name: name, Force: force}, nil); err != nil {
		return err
	}
	for {
		m, err := HubMembers(ctx, nc)
		if _, still := m.member(name); err == nil && m.Leader != "" && !still {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("leave of %s: it goes on by itself: %w", name, context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
}

// RescueHub gives a hub that has lost half of its members or more for good a leader again, and takes those out that are not there. What only they knew is lost.
func RescueHub(ctx context.Context, nc *nats.Conn) (Members, error) {
	var m Members
	return m, askHub(ctx, nc, rescueSubject, wish{}, &m)
}

// askHub asks the nodes of a hub; any may answer.
func askHub(ctx context.Context, nc *nats.Conn, subject string, w wish, answer any) error {
	data, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("ask the hub: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout+apiTimeout)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, subject, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders) && w.Name != "":
		return fmt.Errorf("no node of the hub is called %s, or it is not there now: logdrive hub members lists them", w.Name)
	case err != nil:
		return fmt.Errorf("ask the hub: %w", err)
	}
	if text := msg.Header.Get(micro.ErrorHeader); text != "" {
		return errors.New(text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(msg.Data, answer); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	return nil
}
