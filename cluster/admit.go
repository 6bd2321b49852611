package cluster

import (
	"crypto/subtle"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// doorman lets other nodes in: those that know the secret and are of no other hub. Two hubs that are linked by one stale name become one cluster to the server, whichever wins deletes the
// streams of the other, and what was acknowledged there is lost.
type doorman struct {
	secret string
	own    func() string // the hub's id; "": not known yet
	log    *slog.Logger
	told   sync.Map // ids of other hubs that the log has told of
}

// Check is asked by the server about each connection of another node.
func (d *doorman) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	user, hub, _ := strings.Cut(o.Username, ".")
	if user != userNode || subtle.ConstantTimeCompare([]byte(o.Password), []byte(d.secret)) != 1 {
		return false
	}
	own := d.own()
	if hub == "" || own == "" || hub == own { // it, or this node, is new, and joins or founds
		return true
	}
	if _, before := d.told.LoadOrStore(hub, true); !before {
		d.log.Error("a node of another hub takes this one for one of its own, and is refused: a name or an address among its peers is stale or wrong. Give each hub a secret of its own",
			"from", c.RemoteAddress(), "its_hub", hub, "this_hub", own)
	}
	return false
}

// routeUser is who this node logs in as at others: what it says of its hub keeps it from being let in by another.
func (n *Node) routeUser() string {
	if hub := n.hub(); hub != "" {
		return userNode + "." + hub
	}
	return userNode
}

// nameHub makes this node say which hub it is of at nodes that it dials from now on, unless it knew and said that from its start on.
func (n *Node) nameHub() error {
	if n.started.Cluster.Username == n.routeUser() {
		return nil
	}
	return n.Reload()
}

// dialAs is who this node logs in as at an address. Where it was nobody's when it dialled, and a route is there since, that stays: the server would cut the route to dial it anew.
func (n *Node) dialAs(address string) string {
	if before, is := n.dialled[address]; is && n.reaches(address) {
		return before
	}
	return n.routeUser()
}

// dialsAsNobody says that this node would dial a route that is not there without saying which hub it is of: the address may be that of another hub's node by now.
func (n *Node) dialsAsNobody() bool {
	n.loading.Lock()
	defer n.loading.Unlock()
	for address, user := range n.dialled {
		if user != n.routeUser() && !n.reaches(address) {
			return true
		}
	}
	return false
}

// reaches says that a route from or to an address is up. Of one that the other end has dialled only the machine can be told: there must be as many nodes linked of it as addresses are dialled there.
func (n *Node) reaches(address string) bool {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return false
	}
	routes, err := n.server.Routez(nil)
	if err != nil {
		return true
	}
	linked, dialled := map[string]bool{}, 0
	for _, r := range routes.Routes {
		if !want.IP.Equal(net.ParseIP(r.IP)) {
			continue
		}
		if r.DidSolicit && r.Port == want.Port {
			return true
		}
		linked[r.RemoteID] = true
	}
	for other := range n.dialled {
		if a, err := net.ResolveTCPAddr("tcp", other); err == nil && other != n.own() && a.IP.Equal(want.IP) {
			dialled++
		}
	}
	return len(linked) > 0 && len(linked) >= dialled
}
