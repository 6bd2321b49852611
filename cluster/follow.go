package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/logdrive/logdrive/cluster/wire"
)

// follower makes this node do what the keys of the layout say; every node has one. It decides nothing and moves no batch: whoever drives the change
// relies on the streams alone, so a node that follows late, or never, can harm no one.
type follower struct {
	hub   *Hub
	keys  layoutKeys
	hello *hello
	f     *foundation // that batches are led to
	away  bool        // batches are led nowhere: another layout is wanted
	log   *slog.Logger
}

func (w *follower) run(ctx context.Context) error { return w.keys.attend(ctx, w.log, w.look) }

func (w *follower) look(ctx context.Context) (time.Duration, error) {
	s, err := w.keys.read(ctx)
	if err == nil && s.now.Number > w.f.layout.Number {
		err = w.move(ctx, s.now)
	}
	switch {
	case err != nil:
	case s.wanted() && s.check() == nil:
		err = w.leave(s)
	case s.replaced(): // the streams before still take room
	default:
		err = w.stay(s.now)
	}
	return lookEvery, err
}

// leave leads batches nowhere: agents get no answer and offer the same bytes again, so that the archive can come to the end of the streams. What is on its way
// or comes through another node is still stored, until the streams are sealed.
func (w *follower) leave(s standing) error {
	if err := w.hub.allow(s.now, s.next.Layout); err != nil || w.away {
		return err
	}
	w.log.Info("layout is being changed: agents wait until the archive is at the end of every stream", "layout", s.now.Number,
		"partitions", s.now.Partitions, "next_partitions", s.next.Partitions, "next_stream_bytes", s.next.StreamBytes)
	w.hub.checkDisk(s.now, s.next.Layout)
	w.hello.pause(fmt.Sprintf("the hub is being divided anew, from %d partitions into %d, and the archive must have everything from before", s.now.Partitions, s.next.Partitions))
	if err := w.hub.leadNowhere(); err != nil {
		return err
	}
	w.away = true
	return nil
}

// stay leads batches into the layout that is there: nobody wants another, or not any more.
func (w *follower) stay(now wire.Layout) error {
	if err := w.hub.allow(now); err != nil || !w.away {
		return err
	}
	w.log.Info("layout stays as it is", "layout", now.Number, "partitions", now.Partitions)
	return w.enter(w.f)
}

// move takes the node into a new layout. The store learns of it before the first batch can come: a start with the file of the layout before would lead
// batches to streams that are sealed or gone, where none is stored.
func (w *follower) move(ctx context.Context, l wire.Layout) error {
	f := newFoundation(l, w.f.js)
	if err := f.open(ctx); err != nil {
		return err
	}
	if err := w.hub.adopt(l); err != nil {
		return err
	}
	w.log.Info("hub has a new layout", "layout", l.Number, "partitions", l.Partitions, "stream_bytes", l.StreamBytes)
	return w.enter(f)
}

// enter leads batches into a foundation, and then tells agents of it.
func (w *follower) enter(f *foundation) error {
	if err := w.hub.lead(f.layout); err != nil {
		return err
	}
	w.hello.stand(f)
	w.f, w.away = f, false
	return nil
}

// adopt makes a layout the one of this node's store.
func (h *Hub) adopt(l wire.Layout) error {
	if err := writeLayout(filepath.Join(h.cfg.StoreDir, layoutFile), l); err != nil {
		return err
	}
	h.layout.Store(&l)
	return nil
}

// account is the one that has the streams.
func (h *Hub) account() (*server.Account, error) {
	account, err := h.server.LookupAccount(accountLogs)
	if err != nil {
		return nil, fmt.Errorf("look up account %s: %w", accountLogs, err)
	}
	return account, nil
}
