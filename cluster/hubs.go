package cluster

import (
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Times of the choice among hub nodes.
const (
	avoidFor       = 10 * time.Second // a node that failed is not chosen so long, if there is another
	resolveTimeout = 2 * time.Second
)

// hub is one address that a leaf may dial.
type hub struct {
	url    url.URL // with the agents' user
	learnt bool    // told by a hub node; the others are in the config
	node   string  // name of the node that answered there last, or that is told to be there; "": unknown
	failed time.Time
}

func (h *hub) fresh() bool { return time.Since(h.failed) > avoidFor }

// address is the URL without the secret.
func (h *hub) address() string { return h.url.Scheme + "://" + h.url.Host + h.url.Path }

// hubs are the addresses that a leaf knows: those of its config, each host name as all the addresses it stands for, and those it has learnt. One goroutine owns them.
type hubs struct {
	named   func() []*url.URL
	direct  func(*url.URL) bool                                      // it is dialled without a proxy
	resolve func(ctx context.Context, host string) ([]string, error) // addresses of a name
	all     []*hub
	present map[string]bool // names of the nodes that were told last; nil: none was yet
}

// next chooses the address to dial: at random, so that the agents of a hub that lost a node spread over the others, but for those that failed a moment ago.
func (s *hubs) next(ctx context.Context) *hub {
	if fresh := s.fresh(); len(fresh) > 0 {
		return fresh[rand.N(len(fresh))]
	}
	s.lookUp(ctx)
	if fresh := s.fresh(); len(fresh) > 0 {
		return fresh[rand.N(len(fresh))]
	}
	return slices.MinFunc(s.all, func(a, b *hub) int { return a.failed.Compare(b.failed) })
}

func (s *hubs) fresh() []*hub {
	var fresh []*hub
	for _, h := range s.all {
		if h.fresh() {
			fresh = append(fresh, h)
		}
	}
	return fresh
}

// others says whether there is an address to go to from h.
func (s *hubs) others(h *hub) bool {
	return slices.ContainsFunc(s.all, func(o *hub) bool { return o != h && o.fresh() })
}

// lookUp makes the configured addresses anew. A name is looked up only when all that is known has failed, so that a resolver that is away delays nothing
// else; one that cannot be resolved stays as it is, and the attempt to dial it tells why. Names behind a proxy, and those of WebSocket, which
// their server may want to read, are left to the dialler.
func (s *hubs) lookUp(ctx context.Context) {
	var now []*hub
	for _, u := range s.named() {
		for _, host := range s.addresses(ctx, u) {
			at := *u
			at.Host = host
			now = append(now, s.known(at))
		}
	}
	for _, h := range s.all {
		if h.learnt && !slices.Contains(now, h) {
			now = append(now, h)
		}
	}
	s.all = now
}

func (s *hubs) addresses(ctx context.Context, u *url.URL) []string {
	if net.ParseIP(u.Hostname()) != nil || u.Scheme != schemeLeaf || !s.direct(u) {
		return []string{u.Host}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	found, err := s.resolve(ctx, u.Hostname())
	if err != nil || len(found) == 0 {
		return []string{u.Host}
	}
	for i, ip := range found {
		found[i] = net.JoinHostPort(ip, u.Port())
	}
	return found
}

// known finds the entry of an address, or makes one.
func (s *hubs) known(at url.URL) *hub {
	i := slices.IndexFunc(s.all, func(h *hub) bool { return h.url.Scheme == at.Scheme && h.url.Host == at.Host })
	if i >= 0 {
		return s.all[i]
	}
	return &hub{url: at}
}

// learn takes over what the node at via tells. A node that lacks the others around it may not know them any more, so only one that serves makes
// addresses be forgotten. It gives the entries of all nodes that were told and can be used from here.
func (s *hubs) learn(told wire.Nodes, via *hub) []*hub {
	via.node = told.Name
	var there []*hub
	for _, n := range told.Nodes {
		if h := s.entry(n, via); h != nil && !slices.Contains(there, h) {
			there = append(there, h)
		}
	}
	for _, h := range there {
		if !slices.Contains(s.all, h) {
			s.all = append(s.all, h)
		}
	}
	if told.Serving {
		s.all = slices.DeleteFunc(s.all, func(h *hub) bool { return h.learnt && h != via && !slices.Contains(there, h) })
	}
	return there
}

// entry is where a node is reached the way that via is. A configured address that leads to it is preferred to what it tells itself: that may not be reached from
// here. For the same reason a loopback address is taken only from a node that was reached by one.
func (s *hubs) entry(n wire.Node, via *hub) *hub {
	i := slices.IndexFunc(s.all, func(h *hub) bool { return h.node == n.Name && !h.learnt })
	if i >= 0 {
		return s.all[i]
	}
	told := schemeLeaf + "://" + n.Leaf
	if via.url.Scheme != schemeLeaf {
		told = n.Websocket
	}
	u, err := hubURL(told)
	if err != nil || loopback(u) && !loopback(&via.url) {
		return nil
	}
	u.User = via.url.User
	h := s.known(*u)
	h.learnt = h.learnt || !slices.Contains(s.all, h)
	h.node = n.Name
	return h
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || ip != nil && ip.IsLoopback()
}

// list is every address that is known.
func (s *hubs) list() (list []string) {
	for _, h := range s.all {
		list = append(list, h.address())
	}
	return list
}

// newcomers are the nodes that were not told the last time. Only a node that serves is asked: one that is cut off would make all others newcomers afterwards.
func (s *hubs) newcomers(told wire.Nodes) (names []string) {
	present := map[string]bool{}
	for _, n := range told.Nodes {
		present[n.Name] = true
		if !s.present[n.Name] {
			names = append(names, n.Name)
		}
	}
	s.present = present
	return names
}

// draw chooses one of the nodes that are there, so that agents come to be spread over them evenly: those that were all given the address of one node, and later
// those of a hub that gets another one. Everybody draws from all, and goes only to a newcomer; so all get the same share, and no more agents move than must.
// It gives nil for those that stay.
func (s *hubs) draw(there []*hub, newcomers []string) *hub {
	to := there[rand.N(len(there))]
	if !slices.Contains(newcomers, to.node) {
		return nil
	}
	return to
}

// spread says that the config names as many addresses as there are nodes: choosing among those has spread the agents already.
func (s *hubs) spread(there []*hub) bool {
	configured := 0
	for _, h := range s.all {
		if !h.learnt {
			configured++
		}
	}
	return configured >= len(there)
}
