package election

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sight is what was seen of the key.
type sight struct {
	held     bool
	revision uint64 // 0: the key is not there and left no mark of when it went
	claim    claim  // of its holder, if held; empty if that is no candidate
	at       time.Time
}

func sightOf(entry jetstream.KeyValueEntry) sight {
	s := sight{revision: entry.Revision(), held: entry.Operation() == jetstream.KeyValuePut, at: time.Now()}
	if s.held {
		s.claim = parse(entry.Value(), s.revision)
	}
	return s
}

// follow tells every change of the key until ctx ends. A watch that stays silent for longer than a living lease can may be dead, or the key may have ended, which
// no watch tells: it is opened anew, and shows what is there.
func (p *place) follow(ctx context.Context, out chan<- sight) {
	for ctx.Err() == nil {
		p.watch(ctx, out)
		pause(ctx, p.cfg.retryAfter()+rand.N(p.cfg.retryAfter()))
	}
}

// watch follows the key for as long as it is told something.
func (p *place) watch(ctx context.Context, out chan<- sight) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := p.cfg.TTL + p.cfg.TTL/4
	silence := time.AfterFunc(patience, cancel) // bounds the opening, too
	defer silence.Stop()
	watcher, err := p.kv.Watch(ctx, p.key)
	if err != nil {
		p.log.Debug("key is not watched", "err", err)
		return
	}
	empty := true // until something is seen, the end of what is there says that nothing is
	for {
		var entry jetstream.KeyValueEntry
		var open bool
		select {
		case <-ctx.Done():
			return
		case entry, open = <-watcher.Updates():
			if !open {
				return
			}
		}
		silence.Reset(patience)
		s := sight{at: time.Now()}
		if entry != nil {
			s, empty = sightOf(entry), false
		} else if !empty {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case out <- s:
		}
	}
}
