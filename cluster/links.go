package cluster

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/logdrive/logdrive/cluster/wire"
)

// linksEvery is how old the list of links may be. A fleet that says hello at once must not have it made anew each time.
const linksEvery = 250 * time.Millisecond

// links knows which agents are joined to this node now, by the names of their leaves.
type links struct {
	server *server.Server
	mu     sync.Mutex // guards at and hosts
	at     time.Time
	hosts  map[string][]link
}

// link is one agent's.
type link struct {
	id              uint64 // of the connection: an older one has a smaller id
	writer, session string
	address         string
}

// of lists the links of a host, among them the asker's own if it has one. A list without that is too old.
func (l *links) of(host, session string) ([]link, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := func(k link) bool { return k.session == session }
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
			l.hosts[host] = append(l.hosts[host], link{id: leaf.ID, writer: writer, session: session, address: address})
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
	var me link
	for _, k := range all {
		if k.session == asker.Session {
			me = k
		}
	}
	for _, k := range all {
		if k.session != asker.Session && k.outranks(me, asker.Writer, headWriter) {
			return fmt.Sprintf("another agent ships host %s now: it is at %s and has writer id %s, this one has %s; "+
				"give one of them another host name, or stop it (one that was just killed is forgotten within 20 s)", host, k.address, k.writer, asker.Writer), nil
		}
	}
	return "", nil
}

func (k link) outranks(me link, writer, headWriter string) bool {
	if headWriter != "" && (k.writer == headWriter) != (writer == headWriter) {
		return k.writer == headWriter
	}
	return k.id < me.id || me.id == 0
}
