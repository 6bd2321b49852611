package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/wire"
)

// hubSize is how many nodes the hubs of these tests have: each batch is kept by all of them, and any one of them may be gone.
const hubSize = 3

// nodeFault is what may be done to one node of a hub.
type nodeFault struct {
	name string
	most time.Duration // until it is mended
	do   func(*rand.Rand, *hubNode) (mend func())
}

var nodeFaults = []nodeFault{
	{"kill", 3 * time.Second, func(_ *rand.Rand, n *hubNode) func() { n.kill(); return n.begin }},
	{"SIGTERM", 2 * time.Second, func(_ *rand.Rand, n *hubNode) func() { n.stop(); return n.begin }},
	{"freeze", 5 * time.Second, func(_ *rand.Rand, n *hubNode) func() { n.freeze(); return n.thaw }},
	{"cut off", 5 * time.Second, func(_ *rand.Rand, n *hubNode) func() { n.lonely().Cut(); return n.lonely().Heal }},
	{"black hole", 5 * time.Second, func(_ *rand.Rand, n *hubNode) func() {
		n.lonely().Blackhole()
		return func() { n.lonely().Heal(); n.lonely().Release() }
	}},
	{"cut from one", 5 * time.Second, func(r *rand.Rand, n *hubNode) func() {
		other := n.others[r.IntN(len(n.others))]
		n.between(other).Cut()
		return n.between(other).Heal
	}},
}

func (n *hubNode) begin() { n.start() }

// leaderships are what a node may lead, for those who look for the worst victim.
var leaderships = []string{"the cluster", "a stream", "the bucket", "a consumer"}

// leads finds the server that leads something; "" while nobody does. of is a partition.
func (v *view) leads(what string, of int) string {
	ctx, cancel := context.WithTimeout(v.ctx, 2*time.Second)
	defer cancel()
	var info *jetstream.ClusterInfo
	switch what {
	case "the cluster":
		m, err := cluster.HubMembers(ctx, v.nc)
		if err != nil {
			return ""
		}
		return m.Leader
	case "the bucket":
		info = v.clusterOf(ctx, "KV_"+wire.Bucket)
	case "a stream":
		info = v.clusterOf(ctx, v.layout.Stream(of))
	case "a consumer":
		stream, err := v.js.Stream(ctx, v.layout.Stream(of))
		if err != nil {
			return ""
		}
		for c := range stream.ListConsumers(ctx).Info() {
			if strings.HasPrefix(c.Name, "archive-") {
				info = c.Cluster
			}
		}
	}
	if info == nil {
		return ""
	}
	return info.Leader
}

func (v *view) clusterOf(ctx context.Context, stream string) *jetstream.ClusterInfo {
	s, err := v.js.Stream(ctx, stream)
	if err != nil {
		return nil
	}
	return s.CachedInfo().Cluster
}

// whole says that every node is there and has all that the others have.
func (v *view) whole(nodes int) error {
	ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
	defer cancel()
	m, err := cluster.HubMembers(ctx, v.nc)
	if err != nil {
		return err
	}
	for _, k := range m.Members {
		if !k.Current || len(m.Members) != nodes {
			return fmt.Errorf("members are %+v", m.Members)
		}
	}
	names := v.js.ListStreams(ctx)
	for s := range names.Info() {
		if s.Cluster == nil || s.Cluster.Leader == "" || len(s.Cluster.Replicas) != s.Config.Replicas-1 {
			return fmt.Errorf("stream %s is kept by %+v", s.Config.Name, s.Cluster)
		}
		for _, r := range s.Cluster.Replicas {
			if !r.Current || r.Offline {
				return fmt.Errorf("stream %s: %+v", s.Config.Name, r)
			}
		}
	}
	return names.Err()
}

// awaitWhole waits until the hub can lose any node without losing anything.
func (s *site) awaitWhole(v *view) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(2 * patience); ; time.Sleep(100 * time.Millisecond) {
		s.alive()
		if err = v.whole(len(s.nodes)); err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("hub is not whole: %v", err)
		}
	}
}

// chosen is a node: half of the time one that leads something.
func (s *site) chosen(r *rand.Rand, v *view) (n *hubNode, leads string) {
	n = s.nodes[r.IntN(len(s.nodes))]
	if r.IntN(2) == 0 {
		return n, ""
	}
	what := leaderships[r.IntN(len(leaderships))]
	return s.leader(v, what, r.IntN(v.layout.Partitions)), what
}

// leader is the node that leads something.
func (s *site) leader(v *view, what string, of int) (n *hubNode) {
	s.t.Helper()
	until(s.t, what+" has a leader", func() bool {
		s.alive()
		name := v.leads(what, of)
		i := slices.IndexFunc(s.nodes, func(n *hubNode) bool { return name != "" && n.serverName(s.t) == name })
		if i >= 0 {
			n = s.nodes[i]
		}
		return i >= 0
	})
	return n
}

// wipe takes the disk away from a node. What comes back is another, with nothing but the address; the one that was there is taken out.
func (s *site) wipe(v *view, n *hubNode) {
	s.t.Helper()
	s.awaitWhole(v)
	lost := n.serverName(s.t)
	n.kill()
	must(s.t, os.RemoveAll(n.store))
	n.start().ready()
	if is := n.serverName(s.t); is == lost {
		s.t.Fatalf("the node without a disk is called %s again", is)
	}
	s.evict(lost)
	s.awaitWhole(v)
}

// evict takes a lost node out, as an operator does.
func (s *site) evict(name string) {
	s.t.Helper()
	var said string
	until(s.t, "the lost node is taken out", func() bool {
		var status int
		said, status = command(s.t, s.dir, "", append([]string{"hub", "evict"}, append(s.directHubs(), "--secret", s.secret, name)...)...)
		return status == 0
	})
	s.t.Logf("evicted %s:\n%s", name, said)
}

// pulse is a log that is written to all the time, and how long it stood still in the archive.
type pulse struct {
	*source
	stop    func()
	resets  chan chan time.Duration
	ended   chan struct{}
	archive string // file
}

// pulse begins such a log.
func (s *site) pulse() *pulse {
	s.t.Helper()
	p := &pulse{source: s.newSource("pulse.log"), resets: make(chan chan time.Duration), ended: make(chan struct{})}
	p.archive = filepath.Join(s.archiveDir, "hosts", host, p.path)
	stop := p.keepWriting(1, habit{lines: 1, pause: 20 * time.Millisecond})
	end := make(chan struct{})
	p.stop = func() { stop(); close(end); <-p.ended }
	go p.watch(end)
	return p
}

// watch measures the longest time without growth.
func (p *pulse) watch(end chan struct{}) {
	defer close(p.ended)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var longest time.Duration
	var size int64
	for grown := time.Now(); ; {
		select {
		case <-end:
			return
		case asked := <-p.resets:
			asked <- max(longest, time.Since(grown))
			longest = 0
		case <-tick.C:
			if info, err := os.Stat(p.archive); err == nil && info.Size() != size {
				longest, size, grown = max(longest, time.Since(grown)), info.Size(), time.Now()
			}
		}
	}
}

// longest is how long nothing was archived, since it was asked last.
func (p *pulse) longest() time.Duration {
	asked := make(chan time.Duration)
	p.resets <- asked
	return (<-asked).Round(10 * time.Millisecond)
}

// beats waits until something is archived that is written from now on.
func (p *pulse) beats(s *site) {
	s.t.Helper()
	size := func() int64 {
		info, err := os.Stat(p.archive)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
		if err != nil {
			return -1
		}
		return info.Size()
	}
	// What was on its way may land; so twice.
	for range 2 {
		was := size()
		until(s.t, "the archive grows", func() bool { s.alive(); return size() != was })
	}
}

// nodesRun is a site of a hub of several nodes, with logs that are written to all the time.
type nodesRun struct {
	*site
	v       *view
	rand    *rand.Rand
	start   time.Time
	pulse   *pulse
	sources []*source
	stop    func()
}

func startNodes(t *testing.T) *nodesRun {
	t.Helper()
	return loadNodes(startSite(t, options{nodes: hubSize, receiver: []string{"--segment-size", "256KiB"}}))
}

// loadNodes puts load on a site that runs.
func loadNodes(s *site) *nodesRun {
	s.t.Helper()
	r := random(s.t)
	n := &nodesRun{site: s, v: s.view(), rand: r, start: time.Now(), pulse: s.pulse()}
	n.sources, n.stop = s.writers(r)
	n.pulse.beats(s)
	n.pulse.longest()
	return n
}

// note waits until something is archived again, and tells how long nothing was.
func (n *nodesRun) note(format string, args ...any) {
	n.t.Helper()
	n.pulse.beats(n.site)
	n.t.Logf("%8s %s: nothing was archived for %v", time.Since(n.start).Round(time.Millisecond), fmt.Sprintf(format, args...), n.pulse.longest())
}

func (n *nodesRun) finish() {
	n.t.Helper()
	n.stop()
	n.pulse.stop()
	n.heal()
	n.figures(n.start, n.sources)
	n.settle(nil, append(n.sources, n.pulse.source)...)
}

// Any node of a hub of three is killed, ended, frozen or cut off, the one that leads and another. Whatever happens, the archive has every byte once and in order.
func TestChaosNodes(t *testing.T) {
	slow(t)
	n := startNodes(t)
	for i := range length(8) {
		victim, leads := n.chosen(n.rand, n.v)
		n.disturb(nodeFaults[i%len(nodeFaults)], victim, leads)
	}
	n.finish()
}

// Whoever leads something is killed; in the long form ended, frozen and cut off, too.
func TestChaosNodesThatLead(t *testing.T) {
	slow(t)
	n := startNodes(t)
	faults := nodeFaults[:1]
	if full() {
		faults = nodeFaults
	}
	for range length(1) {
		for _, what := range leaderships {
			for _, f := range faults {
				n.disturb(f, n.leader(n.v, what, n.v.partition()), what)
			}
		}
	}
	n.finish()
}

func (n *nodesRun) disturb(f nodeFault, victim *hubNode, leads string) {
	n.t.Helper()
	n.pulse.longest()
	lasts := upTo(n.rand, f.most)
	mend := f.do(n.rand, victim)
	time.Sleep(lasts)
	n.alive()
	mend()
	victim.ready()
	n.note("%s, %s, which leads %q, %v", f.name, victim.name, leads, lasts.Round(time.Millisecond))
}

// A node loses its disk, and comes back as another.
func TestChaosNodesLoseADisk(t *testing.T) {
	slow(t)
	n := startNodes(t)
	for range length(1) {
		n.wipe(n.v, n.nodes[n.rand.IntN(hubSize)])
		n.note("a node lost its disk")
	}
	n.finish()
}

// All nodes die at once.
func TestChaosNodesAllDie(t *testing.T) {
	slow(t)
	n := startNodes(t)
	for range length(2) {
		wait(n.rand, 3*time.Second)
		n.killAllNodes(n.rand)
		n.note("all nodes died")
	}
	n.finish()
}

func (s *site) killAllNodes(r *rand.Rand) {
	s.t.Helper()
	for _, i := range r.Perm(len(s.nodes)) {
		s.nodes[i].kill()
	}
	for _, i := range r.Perm(len(s.nodes)) {
		s.nodes[i].start()
	}
	for _, n := range s.nodes {
		n.ready()
	}
}
