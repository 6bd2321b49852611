package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A node that has no route to any other for aloneAfter is cut off. While it is, it sends receivers away every sendAwayEvery: they come to a node that is not, by the addresses that
// they were given and have learnt.
const (
	aloneAfter    = 2 * time.Second
	sendAwayEvery = 5 * time.Second
)

// nameReceiver is what receivers' connections are called. Others, an operator's above all, may have come to this very node because it is alone.
const nameReceiver = "logdrive receiver"

// lookout keeps receivers from staying where nothing answers them: their connection to a node that is cut off is well, and agents, which ask nodes whether they serve, are the only ones
// to find out by themselves.
type lookout struct {
	node *Node
	log  *slog.Logger
}

// run watches the routes until ctx ends.
func (l *lookout) run(ctx context.Context) error {
	tick := time.NewTicker(serveLook)
	defer tick.Stop()
	linked, sent := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch {
		case len(l.node.Linked()) > 0:
			linked = time.Now()
		case time.Since(linked) > aloneAfter && time.Since(sent) > sendAwayEvery:
			sent = time.Now()
			if n := sendReceiversAway(l.node.server); n > 0 {
				l.log.Warn("this node reaches no other, and sends receivers away", "receivers", n)
			}
		}
	}
}

// sendReceiversAway ends the connections of receivers that are not in this process, and tells how many there were.
func sendReceiversAway(s *server.Server) (n int) {
	all, err := s.Connz(&server.ConnzOptions{State: server.ConnOpen, Limit: maxReceivers})
	if err != nil {
		return 0
	}
	for _, c := range all.Conns {
		if c.Name == nameReceiver && c.Port != 0 && s.DisconnectClientByID(c.Cid) == nil {
			n++
		}
	}
	return n
}

// maxReceivers is how many connections are looked at; those that are left are with the next look.
const maxReceivers = 4096
