package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

const host = "web1.example.com"

// site is one logdrive: hub, receiver and agent as processes, with a proxy between each and the hub.
type site struct {
	t                    testing.TB
	dir                  string
	hub, receiver, agent *role
	leaf, client         *clustertest.Proxy
	clientURL, leafURL   string // of the hub itself
	nodes                []*hubNode
	secret               string // file
	storeDir, archiveDir string
	stateDir             string
}

// options are further flags; the defaults are chosen so that rotation, purges and commits happen often.
type options struct {
	nodes                int // of the hub; 0: one. Of several, the first one is what stands in hub, leaf, client and the like
	hub, receiver, agent []string
	store, archive       string // directories; "": below the site's
	state                string
	paths                []string // "": everything below logs/
}

// newSite makes a site where nothing runs yet.
func newSite(t testing.TB, o options) *site {
	t.Helper()
	s := &site{t: t, dir: tempDir(t)}
	must(t, os.MkdirAll(s.path("logs"), 0o755))
	if o.store == "" {
		o.store = s.path("store")
	}
	if o.archive == "" {
		o.archive = s.path("archive")
	}
	if o.state == "" {
		o.state = s.path("state")
	}
	if o.paths == nil {
		o.paths = []string{s.path("logs/*.log")}
	}
	s.storeDir, s.archiveDir, s.stateDir = o.store, o.archive, o.state
	s.addNodes(o)
	s.receiver = newRole(t, s.dir, "receiver", slices.Concat(s.clientHubs(), []string{
		"--secret", s.secret, "--archive", o.archive, "--lookback", "1s", "--segment-size", "1MiB",
	}, o.receiver)...)
	s.agent = newRole(t, s.dir, "agent", slices.Concat(s.leafHubs(), []string{
		"--secret", s.secret, "--host", host, "--state", o.state,
	}, o.agent, o.paths)...)
	return s
}

// startSite makes a site and waits until all of it runs.
func startSite(t testing.TB, o options) *site {
	t.Helper()
	return newSite(t, o).startAll()
}

// startAll runs all of a site and waits until it is ready.
func (s *site) startAll() *site {
	s.t.Helper()
	s.startHub()
	s.receiver.start().ready()
	s.agent.start().ready()
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// roles in the order of a line's way; they are stopped in the order agent, receiver, hub.
func (s *site) roles() []*role {
	all := []*role{s.agent}
	for _, n := range s.nodes {
		all = append(all, n.role)
	}
	return append(all, s.receiver)
}

// alive fails the test if a process has ended by itself.
func (s *site) alive() {
	s.t.Helper()
	for _, r := range s.roles() {
		r.alive()
	}
}

// heal starts what does not run, thaws and releases everything.
func (s *site) heal() {
	s.t.Helper()
	for _, n := range s.nodes {
		for _, p := range n.ways() {
			p.Heal()
			p.Release()
		}
	}
	for _, r := range s.roles() {
		if !r.running() {
			r.start()
		}
		r.thaw()
	}
}

// settle brings everything to rest: sources are archived whole, all ends cleanly, archive and sources are equal, the invariants hold and the ledger holds the
// wanted entries.
func (s *site) settle(ledger []gap, sources ...*source) {
	s.t.Helper()
	s.arrived(sources...)
	s.agent.stop()
	s.receiver.stop()
	if s.t.Failed() {
		s.t.FailNow()
	}
	s.equal(sources...)
	s.ledger(ledger)
	s.invariants()
	s.stopHub()
}
