package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sync/errgroup"
)

// reportEvery is how often a platform that wants to know is told how the node is, brokenAfter how long it must not serve to count as broken: an election or a restart of
// the others takes less.
const (
	reportEvery = 10 * time.Second
	brokenAfter = time.Minute
)

// metaFiles finds, below a store, what a member of a cluster keeps of the group that leads it, whatever the system account is called.
const metaFiles = streamsDir + "/*/_js_/_meta_"

// checkKind refuses what the server would do without a word: a cluster deletes the streams that a single server has made, and a single server does not know
// what the members of a cluster hold together.
func checkKind(dir string, clustered bool) error {
	meta, err := filepath.Glob(filepath.Join(dir, metaFiles))
	if err != nil {
		return fmt.Errorf("look into store %s: %w", dir, err)
	}
	streams, err := filepath.Glob(filepath.Join(dir, streamsDir, "*", "streams", "*"))
	if err != nil {
		return fmt.Errorf("look into store %s: %w", dir, err)
	}
	switch {
	case clustered && len(meta) == 0 && len(streams) > 0:
		return fmt.Errorf("store %s is of a node that was alone: a cluster would delete its streams. Let the archive have everything of it (logdrive hub partitions shows what is missing), "+
			"then found the cluster in new directories and lead the agents there", dir)
	case !clustered && len(meta) > 0:
		return fmt.Errorf("store %s is of a node of a cluster: start it with its peers and the number of nodes it was founded with", dir)
	}
	return nil
}

// fresh says that this node has not counted the founders of its cluster yet.
func (n *Node) fresh() bool {
	counted, err := filepath.Glob(filepath.Join(n.cfg.StoreDir, metaFiles, "peers.idx"))
	return err == nil && len(counted) == 0
}

// awaitPeers blocks until enough peers are known to start: as many as there are founders for an empty node, for it counts them; any for one that was a member, or is a spoke.
func (n *Node) awaitPeers(ctx context.Context) error {
	if err := n.discovery.recall(); err != nil {
		return err
	}
	var told time.Time
	for {
		if _, err := n.discovery.look(ctx, noRoute); err != nil {
			return err
		}
		known := n.discovery.peers()
		if n.enough(known) {
			return nil
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			n.log.Info("waiting until the platform names the founders of the cluster, or the hub of a spoke", "founders", n.nodes, "known", known.Routes, "own", n.own(), "spoke", n.self.Spoke)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(n.cfg.DiscoverEvery, time.Second)):
		}
	}
}

func (n *Node) enough(known Peers) bool {
	if n.self.Spoke {
		return len(known.Leaves) > 0
	}
	return len(known.Routes) >= n.nodes || len(known.Routes) > 0 && !n.fresh()
}

func noRoute(string) bool { return false }

// attend follows the peers, and what the platform wants to know and says, until ctx ends or the node has left.
func (n *Node) attend(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if n.discovers() {
		group.Go(func() error { return n.follow(ctx) })
	}
	if r, ok := n.cfg.Adapter.(Reporter); ok {
		group.Go(func() error { return n.report(ctx, r) })
	}
	if e, ok := n.cfg.Adapter.(Ender); ok {
		group.Go(func() error { return n.awaitEnding(ctx, e) })
	}
	group.Go(func() error { return n.awaitLeave(ctx) })
	return group.Wait()
}

// follow asks for peers again and again, and gives the server new routes and leaves when they have changed.
func (n *Node) follow(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.DiscoverEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n.lookAgain(ctx)
			if n.clustered() && n.streams {
				n.lookForSelf(ctx)
			}
		}
	}
}

func (n *Node) lookAgain(ctx context.Context) {
	changed, err := n.discovery.look(ctx, n.linkedTo)
	if ctx.Err() != nil {
		return
	}
	if err != nil { // the list could not be kept; the node goes on with it
		n.log.Error("peers are not kept for the next start", "err", err)
	}
	if !changed && !n.dialsAsNobody() {
		return
	}
	n.tellStrangers()
	if n.linksItself && n.self.Spoke {
		return
	}
	if err := n.Reload(); err != nil {
		n.log.Error("peers have changed, and the server does not take them; it does after a restart", "err", err)
	}
}

// errMiscounted says that an empty node counts on founders that are gone: a name that was stale when it started. It would wait for their votes for ever.
var errMiscounted = errors.New("the node counts on founders that do not exist any more")

// awaitService blocks until the cluster has a leader that this node follows. Without enough founders that takes as long as they do.
func (n *Node) awaitService(ctx context.Context) error {
	tick, look := time.NewTicker(serveStep), time.NewTicker(n.cfg.DiscoverEvery)
	defer tick.Stop()
	defer look.Stop()
	for told := time.Now(); !n.serving(); {
		if time.Since(told) > tellEvery {
			told = time.Now()
			n.log.Warn("cluster has no leader yet: it takes all of its founders, or more than half of its members; if those are lost for good, see logdrive hub rescue",
				"name", n.name, "founders", n.nodes, "linked", len(n.Linked()), "known", n.discovery.peers().Routes)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		case <-look.C:
			if !n.clustered() {
				continue
			}
			n.lookAgain(ctx)
			if known := len(n.discovery.peers().Routes); known >= n.nodes && known < n.counted() {
				return errMiscounted
			}
		}
	}
	return nil
}

// counted is how many founders in its own cluster this node counts on, as it does until it has heard of a leader, in this process or another; 0: it has heard of one, and may be a member that
// holds something. The server also counts the addresses of the clusters behind gateways.
func (n *Node) counted() int {
	groups := n.server.Raftz(&server.RaftzOptions{GroupFilter: "_meta_"})
	if groups == nil {
		return 0
	}
	size := 0
	for _, account := range *groups {
		for _, g := range account {
			if g.EverHadLeader || g.PIndex > 0 {
				return 0
			}
			size = g.Size
		}
	}
	for _, cluster := range n.started.Gateway.Gateways {
		if cluster.Name != n.started.Cluster.Name {
			size -= len(cluster.URLs)
		}
	}
	return size
}

// beginAnew makes an empty node count again. It gets another name: under the old one it may have voted.
func (n *Node) beginAnew() (err error) {
	n.log.Warn("node starts anew: it counted on founders that do not exist any more", "known", n.discovery.peers().Routes)
	if err := os.RemoveAll(filepath.Join(n.cfg.StoreDir, streamsDir)); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	n.name = n.base() + "-" + randomID(4)
	return writeFile(filepath.Join(n.cfg.StoreDir, "name"), []byte(n.name+"\n"))
}

// linkedTo says that a route to the address is up.
func (n *Node) linkedTo(address string) bool {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return false
	}
	routes, err := n.server.Routez(nil)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(routes.Routes, func(r *server.RouteInfo) bool {
		return r.DidSolicit && net.JoinHostPort(r.IP, strconv.Itoa(r.Port)) == want.String()
	})
}

// Fault is why the node is not all it should be: peers cannot be discovered, or its cluster does not serve. nil: all is well.
func (n *Node) Fault() error {
	var faults []error
	if n.discovers() {
		if err := n.discovery.failing(); err != nil {
			faults = append(faults, fmt.Errorf("peers cannot be discovered: %w", err))
		}
	}
	faults = append(faults, n.strangeFault(), n.unlinked(), n.outcastFault())
	if !n.serving() {
		faults = append(faults, errors.New("JetStream does not serve here: the cluster has no leader, or this node is behind"))
	}
	return errors.Join(faults...)
}

// report tells the platform how the node is.
func (n *Node) report(ctx context.Context, r Reporter) error {
	tick := time.NewTicker(serveLook)
	defer tick.Stop()
	var said Status
	var at time.Time
	served := time.Now()
	for {
		now := n.status(&served)
		if now != said || time.Since(at) >= reportEvery {
			if err := r.Report(ctx, now); err != nil && ctx.Err() == nil {
				n.log.Warn("platform does not take how this node is", "state", now.State, "err", err)
			}
			said, at = now, time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// serveLook is how often a node looks whether it serves.
const serveLook = time.Second

func (n *Node) status(served *time.Time) Status {
	if n.serving() {
		*served = time.Now()
	}
	select {
	case <-n.leave:
		return Status{State: Leaving}
	default:
	}
	if gone := time.Since(*served); gone > brokenAfter {
		return Status{State: Broken, Reason: fmt.Sprintf("JetStream has not served for %s", gone.Round(time.Second))}
	}
	return Status{State: Working}
}

// awaitEnding leaves when the platform takes the disk away with the machine. An end after which the node comes back is a stop like any other, and the process is told of it by a signal.
func (n *Node) awaitEnding(ctx context.Context, e Ender) error {
	for {
		ending, err := e.Ending(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			n.log.Warn("platform does not tell when it ends this node; asking again", "err", err)
		case ending.ForGood:
			n.log.Warn("platform takes this node away: leaving", "reason", ending.Reason, "before", ending.Before)
			n.Leave()
			return nil
		default:
			n.log.Warn("platform ends this node", "reason", ending.Reason, "before", ending.Before)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(n.cfg.DiscoverEvery):
		}
	}
}
