package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// leftFile marks the store of a node that has left: its name is gone from the cluster for ever.
const leftFile = "left"

// errLeft ends Run when the node has left.
var errLeft = errors.New("the node has left its cluster for good")

// leaveStep is how often a leaving node looks whether it still holds anything.
const leaveStep = 250 * time.Millisecond

// Leave makes the node leave its cluster for good: what it holds is moved to the others, it stops to be a member, and Run ends. A node that is alone just ends.
// Without it the end of Run's context is a stop: the node counts as a member, and is expected back.
func (n *Node) Leave() { n.leaveNow(false) }

// leaveNow leaves; force: even if fewer stay than keep each batch.
func (n *Node) leaveNow(force bool) {
	n.leaving.Do(func() {
		n.forced = force
		close(n.leave)
	})
}

// awaitLeave leaves when it is time to, and tries for as long as it takes: who stops in the middle comes back as a member that holds less.
func (n *Node) awaitLeave(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.leave:
	}
	for n.clustered() {
		err := n.depart(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		n.log.Warn("node cannot leave yet; trying again", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(n.cfg.DiscoverEvery):
		}
	}
	n.log.Info("node has left its cluster", "name", n.name)
	n.reportLeft(ctx)
	return errLeft
}

// reportLeft tells the platform until it takes it: it may be waiting for this before it ends the machine.
func (n *Node) reportLeft(ctx context.Context) {
	r, ok := n.cfg.Adapter.(Reporter)
	for ok {
		err := r.Report(ctx, Status{State: Left})
		if err == nil || ctx.Err() != nil {
			return
		}
		n.log.Warn("platform does not take that this node has left; telling it again", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(n.cfg.DiscoverEvery):
		}
	}
}

// depart moves what this node holds to the others, waits until they have it, and takes the node out of the cluster.
func (n *Node) depart(ctx context.Context) error {
	m, err := n.Members(ctx)
	if err != nil {
		return err
	}
	if _, still := m.member(n.name); !still && m.Leader != "" {
		return n.markLeft() // taken out before a kill
	}
	if err := m.checkLeave(n.name, n.forced); err != nil {
		return err
	}
	if len(m.Members) > minNodes { // else nobody is left to take its copies
		if err := n.evacuate(ctx); err != nil {
			return err
		}
	}
	// Before it is true: killed in between, the node does not start again, and an operator evicts it. The other way round it would start as a stranger with an old name.
	if err := n.markLeft(); err != nil {
		return err
	}
	return n.remove(ctx, Member{Name: n.name})
}

func (n *Node) markLeft() error {
	return writeFile(filepath.Join(n.cfg.StoreDir, leftFile), []byte(n.name+"\n"))
}

// evacuate moves what this node holds to the others.
func (n *Node) evacuate(ctx context.Context) error {
	n.log.Info("leaving: moving what this node holds to the others", "name", n.name)
	if err := n.api(ctx, server.JSApiEvacuateServer, server.JSApiMetaServerEvacuateRequest{Server: n.name}); err != nil {
		return err
	}
	return n.awaitEmpty(ctx)
}

// awaitEmpty blocks until this node keeps no replica of anything.
func (n *Node) awaitEmpty(ctx context.Context) error {
	for told := time.Now(); ; {
		info, err := n.server.Jsz(nil)
		if err != nil {
			return fmt.Errorf("ask server what it holds: %w", err)
		}
		if info.Streams == 0 && info.Consumers == 0 {
			return nil
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			n.log.Info("leaving: the others do not have everything yet", "streams", info.Streams, "consumers", info.Consumers, "bytes", info.Store)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(leaveStep):
		}
	}
}

// checkLeft refuses a store whose node has left.
func checkLeft(dir string) error {
	path := filepath.Join(dir, leftFile)
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("node of store %s has left its cluster for good, and may not come back under its name: start with an empty store to join as a new node", dir)
	}
	return nil
}

// stepDown hands what this node leads to the others before it stops, so that they need not notice its end first. What does not succeed costs them an election.
func (n *Node) stepDown() {
	if !n.clustered() {
		return
	}
	info, err := n.server.Jsz(&server.JSzOptions{Accounts: true, Streams: true, Consumer: true})
	if err != nil {
		n.log.Warn("node stops without handing over", "err", err)
		return
	}
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			for _, c := range s.Consumer {
				if c.Cluster != nil && c.Cluster.Leader == n.name && len(c.Cluster.Replicas) > 0 {
					n.server.JetStreamStepdownConsumer(account.Name, s.Name, c.Name)
				}
			}
			if s.Cluster != nil && s.Cluster.Leader == n.name && len(s.Cluster.Replicas) > 0 {
				n.server.JetStreamStepdownStream(account.Name, s.Name)
			}
		}
	}
	if !n.server.JetStreamIsLeader() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	if err := n.api(ctx, server.JSApiLeaderStepDown, struct{}{}); err != nil {
		n.log.Warn("node stops while it leads the cluster", "err", err)
	}
}
