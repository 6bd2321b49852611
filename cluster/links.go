package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster/wire"
)

// linksEvery is how old the list of links may be. A fleet that says hello at once must not have it made anew each time.
const linksEvery = 250 * time.Millisecond

// links knows which agents are joined to this node now, by the names of their leaves, and asks the other nodes for theirs.
type links struct {
	server *server.Server
	nc     *nats.Conn
	others func() []string // names of the nodes that are there
	mu     sync.Mutex      // guards at and hosts
	at     time.Time
	hosts  map[string][]link
}

// link is one agent's.
type link struct {
	Node    string `json:"node"` // of the hub
	ID      uint64 `json:"id"`   // of the connection: on one node an older one has a smaller id
	Writer  string `json:"writer"`
	Session string `json:"session"`
	Address string `json:"address"`
}

// linksSubject is where nodes ask each other for the links of a host, in the account of the streams, which agents cannot reach. linksPatience is how long they wait: a node that is gone
// without a word must not keep agents from the others.
const (
	linksSubject  = "links"
	linksPatience = 300 * time.Millisecond
)

// serve answers the other nodes until ctx ends.
func (l *links) serve(ctx context.Context) error {
	sub, err := l.nc.Subscribe(linksSubject, func(msg *nats.Msg) {
		own, err := l.of(string(msg.Data), "")
		if err != nil {
			return // the asker does without
		}
		if data, err := json.Marshal(own); err == nil {
			_ = msg.Respond(data) // as above
		}
	})
	if err != nil {
		return fmt.Errorf("answer other nodes: %w", err)
	}
	<-ctx.Done()
	return sub.Drain()
}

// elsewhere asks the other nodes for the links of a host.
func (l *links) elsewhere(host string) ([]link, error) {
	wanted := len(l.others())
	if wanted == 0 {
		return nil, nil
	}
	inbox := l.nc.NewInbox()
	sub, err := l.nc.SubscribeSync(inbox)
	if err == nil {
		defer func() { _ = sub.Unsubscribe() }() // answers that come late go nowhere
		err = l.nc.PublishRequest(linksSubject, inbox, []byte(host))
	}
	if err != nil {
		return nil, fmt.Errorf("ask other nodes for links of %s: %w", host, err)
	}
	var all []link
	deadline := time.Now().Add(linksPatience)
	for heard := 0; heard <= wanted; heard++ { // this node answers, too
		msg, err := sub.NextMsg(time.Until(deadline))
		if err != nil {
			return all, nil
		}
		var theirs []link
		if err := json.Unmarshal(msg.Data, &theirs); err != nil {
			return nil, fmt.Errorf("read links of another node: %w", err)
		}
		all = append(all, theirs...)
	}
	return all, nil
}

// of lists the links of a host to this node, among them the asker's own if it has one. A list without that is too old.
func (l *links) of(host, session string) ([]link, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := func(k link) bool { return session == "" || k.Session == session }
	if time.Since(l.at) < linksEvery && slices.ContainsFunc(l.hosts[host], own) {
		return l.hosts[host], nil
	}
	leaves, err := l.server.Leafz(&server.LeafzOptions{Account: accountAgents})
	if err != nil {
		return nil, fmt.Errorf("list leaves: %w", err)
	}
	l.at, l.hosts = time.Now(), map[string][]link{}
	for _, leaf := range leaves.Leafs {
		if host, writer, session, err := wire.ParseLeafName(leaf.Name); err == nil {
			address := net.JoinHostPort(leaf.IP, strconv.Itoa(leaf.Port))
			l.hosts[host] = append(l.hosts[host], link{Node: l.server.Name(), ID: leaf.ID, Writer: writer, Session: session, Address: address})
		}
	}
	return l.hosts[host], nil
}

// conflict says, in a sentence for people, which other agent ships this host now, or "" when the asker may. Two agents of one name must
// not both be turned away: whoever wrote the head of the chain stays, and when that does not decide, whoever was linked first.
func (l *links) conflict(host string, asker wire.Hello, headWriter string) (string, error) {
	all, err := l.of(host, asker.Session)
	if err != nil {
		return "", err
	}
	theirs, err := l.elsewhere(host)
	if err != nil {
		return "", err
	}
	all = append(slices.Clone(all), theirs...)
	var me link
	for _, k := range all {
		if k.Session == asker.Session {
			me = k
		}
	}
	for _, k := range all {
		if k.Session != asker.Session && k.outranks(me, asker, headWriter) {
			return fmt.Sprintf("another agent ships host %s now: it is at %s and has writer id %s, this one has %s; "+
				"give one of them another host name, or stop it (one that was just killed is forgotten within 20 s)", host, k.Address, k.Writer, asker.Writer), nil
		}
	}
	return "", nil
}

// outranks decides between two links. On different nodes nobody knows which was first.
func (k link) outranks(me link, asker wire.Hello, headWriter string) bool {
	if headWriter != "" && (k.Writer == headWriter) != (asker.Writer == headWriter) {
		return k.Writer == headWriter
	}
	if k.Node == me.Node {
		return k.ID < me.ID
	}
	return me.ID == 0 || k.Session < asker.Session
}
