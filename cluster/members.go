package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Members is the group that leads a cluster, as its leader sees it.
type Members struct {
	Cluster string   `json:"cluster"`
	Leader  string   `json:"leader,omitempty"` // "": there is none, and the list is what one node remembers
	Quorum  int      `json:"quorum"`           // members that must be there for any change, and for each stream of as many replicas
	Members []Member `json:"members"`          // by name
}

// Member is a node that counts, whether it is there or not.
type Member struct {
	Name    string        `json:"name"`    // or the id that the server has made of it, where nobody there has heard from that node since a restart
	Current bool          `json:"current"` // it is there, and has all that the leader has
	Offline bool          `json:"offline"`
	Seen    time.Duration `json:"seen_ns"` // ago, by the leader
	Lag     uint64        `json:"lag"`     // operations it is behind
	id      string        // that the server has made of the name; "": the name will do
}

// errNoLeader says that the cluster can change nothing now.
var errNoLeader = errors.New("the cluster has no leader: fewer than half of its members are there")

// apiTimeout bounds one request to the cluster.
const apiTimeout = 5 * time.Second

// member finds one by name.
func (m Members) member(name string) (Member, bool) {
	at := slices.IndexFunc(m.Members, func(k Member) bool { return k.Name == name })
	if at < 0 {
		return Member{}, false
	}
	return m.Members[at], true
}

// checkEvict says why a member may not be taken out of the cluster, or nil. What stays must be a cluster, and have a leader at once.
func (m Members) checkEvict(name string, force bool) error {
	k, ok := m.member(name)
	switch {
	case !ok:
		return fmt.Errorf("%s is no member of the cluster: it has %s", name, m.names())
	case m.Leader == "":
		return fmt.Errorf("evict %s: %w; start the ones that are down, and if they are lost for good, see logdrive hub rescue", name, errNoLeader)
	case !k.Offline:
		return fmt.Errorf("%s is there: only a member that is lost for good may be evicted; to take a running one away use logdrive hub leave %s", name, name)
	}
	return m.checkRest(name, force)
}

// checkLeave says why a running member may not leave, or nil.
func (m Members) checkLeave(name string, force bool) error {
	if _, ok := m.member(name); !ok {
		return fmt.Errorf("%s is no member of the cluster: it has %s", name, m.names())
	}
	if m.Leader == "" {
		return fmt.Errorf("leave of %s: %w", name, errNoLeader)
	}
	return m.checkRest(name, force)
}

func (m Members) checkRest(name string, force bool) error {
	rest, current := len(m.Members)-1, 0
	for _, k := range m.Members {
		if k.Name != name && k.Current {
			current++
		}
	}
	if current < rest/2+1 {
		return fmt.Errorf("without %s the cluster would have %d members of which %d are up to date: it would stop; bring the others back first", name, rest, current)
	}
	if rest < minNodes && !force {
		return fmt.Errorf("without %s the cluster would have %d members, and every batch one copy less until another joins: start a new node first, or use --force", name, rest)
	}
	return nil
}

// there are the names of those that are there.
func (m Members) there() (names []string) {
	for _, k := range m.Members {
		if !k.Offline {
			names = append(names, k.Name)
		}
	}
	return names
}

func (m Members) names() string {
	var names []string
	for _, k := range m.Members {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// Members asks the cluster's leader; when there is none, this node tells what it remembers.
func (n *Node) Members(ctx context.Context) (Members, error) {
	if !n.clustered() {
		return Members{Leader: n.name, Quorum: 1, Members: []Member{{Name: n.name, Current: true}}}, nil
	}
	var answer struct {
		Data *server.JSInfo `json:"data"`
	}
	err := n.ask(ctx, "$SYS.REQ.SERVER.PING.JSZ", server.JszEventOptions{JSzOptions: server.JSzOptions{LeaderOnly: true}}, &answer)
	if err == nil && answer.Data != nil && answer.Data.Meta != nil {
		return n.membersOf(answer.Data.Meta), nil
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrNoResponders) {
		return Members{}, err
	}
	info, err := n.server.Jsz(nil)
	if err != nil || info.Meta == nil {
		return Members{}, fmt.Errorf("ask server for the members: %w", errors.Join(err, errNoLeader))
	}
	info.Meta.Leader = "" // the one it remembers does not answer
	m := n.membersOf(info.Meta)
	m.Members = append(slices.DeleteFunc(m.Members, func(k Member) bool { return k.Name == n.name }), Member{Name: n.name, Current: true})
	m.sort()
	return m, nil
}

// offlineAfter is how long the leader hears nothing from a member that is there no more, though it did not say good-bye: it hears from each every second.
const offlineAfter = 10 * time.Second

// unknownName begins what the server calls a member of which it knows no more than the id.
const unknownName = "Server name unknown"

func (n *Node) membersOf(meta *server.MetaClusterInfo) Members {
	linked := n.Linked()
	m := Members{Cluster: meta.Name, Leader: meta.Leader, Quorum: meta.QuorumNeeded}
	if meta.Leader != "" {
		m.Members = append(m.Members, Member{Name: meta.Leader, Current: true})
	}
	for _, r := range meta.Replicas {
		unheard := r.Active == 0 && !r.Current || r.Active > offlineAfter // 0: not once by this leader, or by this node that leads nobody
		offline := r.Offline || unheard && !slices.Contains(linked, r.Name)
		name := r.Name
		if strings.HasPrefix(name, unknownName) {
			name = r.Peer
		}
		m.Members = append(m.Members, Member{Name: name, id: r.Peer, Current: r.Current && !offline, Offline: offline, Seen: r.Active, Lag: r.Lag})
	}
	m.sort()
	return m
}

func (m *Members) sort() {
	slices.SortFunc(m.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	m.Members = slices.CompactFunc(m.Members, func(a, b Member) bool { return a.Name == b.Name })
}

// outcastTries is at how many looks in a row the leader must not count a node for it to believe that: one that joins is counted within a moment.
const outcastTries = 3

// lookForSelf notes whether the leader counts this node. One that was evicted and comes back with its old store follows the leader as if nothing had been, and counts for nothing: whoever relies on it
// and stops another has no quorum.
func (n *Node) lookForSelf(ctx context.Context) {
	m, err := n.Members(ctx)
	if err != nil || m.Leader == "" {
		return
	}
	if slices.ContainsFunc(m.Members, func(k Member) bool { return k.Name == n.name || k.id == n.server.Node() }) {
		n.outcast.Store(0)
		return
	}
	if n.outcast.Add(1) == outcastTries {
		n.log.Error("cluster does not count this node", "err", n.outcastFault(), "leader", m.Leader, "members", m.names())
	}
}

func (n *Node) outcastFault() error {
	if n.outcast.Load() < outcastTries {
		return nil
	}
	return fmt.Errorf("node %s is no member of its cluster any more, and what it holds counts for nothing: it was evicted. Stop it, and start it with an empty store to join as a new node", n.name)
}

// Evict takes a member that is lost for good out of the cluster, so that it does not count any more. It must never come back with its old store.
func (n *Node) Evict(ctx context.Context, name string, force bool) error {
	m, err := n.Members(ctx)
	if err != nil {
		return err
	}
	if err := m.checkEvict(name, force); err != nil {
		return err
	}
	k, _ := m.member(name)
	return n.remove(ctx, k)
}

// remove takes a member out. One that is there loses its JetStream with that.
func (n *Node) remove(ctx context.Context, k Member) error {
	return n.api(ctx, server.JSApiRemoveServer, server.JSApiMetaServerRemoveRequest{Server: k.Name, Peer: k.id})
}

// api asks the leader of the cluster to do something.
func (n *Node) api(ctx context.Context, subject string, request any) error {
	var answer struct {
		Error   *server.ApiError `json:"error"`
		Success bool             `json:"success"`
	}
	if err := n.ask(ctx, subject, request, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("ask %s: %w", subject, answer.Error)
	}
	if !answer.Success {
		return fmt.Errorf("ask %s: refused", subject)
	}
	return nil
}

// ask sends one request from the system account.
func (n *Node) ask(ctx context.Context, subject string, request, answer any) error {
	nc, err := n.ConnectSystem()
	if err != nil {
		return err
	}
	defer nc.Close()
	data, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, subject, data)
	if err == nil {
		err = json.Unmarshal(msg.Data, answer)
	}
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	return nil
}
