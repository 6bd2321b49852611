package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/shipper"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// partitions of a crew's hub: enough that three receivers cannot share them evenly.
const partitions = 8

// crew is a hub with several receivers and many agents. Receivers are processes, each behind a proxy of its own; agents run in this process, each with its leaf,
// all behind one proxy.
type crew struct {
	*site   // its hub, and the way of the agents to it; its own agent and receiver never run
	members []*member
	sources []*source
	end     func() // of the agents
}

// member is a receiver that may work in one archive or another.
type member struct {
	*role
	name string
	link ways
	dirs []string // archives it may work in,
	ids  []string // by which records name them
	in   int      // the one it works in now
}

// newCrew starts a hub. Receivers and agents come with join and ship.
func newCrew(t testing.TB) *crew {
	t.Helper()
	return newCrewOf(t, 1)
}

// newCrewOf is newCrew with so many hub nodes.
func newCrewOf(t testing.TB, nodes int) *crew {
	t.Helper()
	c := &crew{site: newSite(t, options{nodes: nodes, hub: []string{"--partitions", fmt.Sprint(partitions)}})}
	c.startHub()
	return c
}

// join adds a receiver, that does not run yet, with so many archives.
func (c *crew) join(archives int) *member {
	c.t.Helper()
	name := fmt.Sprintf("receiver%d", len(c.members)+1)
	var dirs, ids []string
	for i := range archives {
		dirs = append(dirs, c.path(filepath.Join(name, fmt.Sprintf("archive%d", i+1))))
		ids = append(ids, makeArchive(c.t, dirs[i]))
	}
	return c.add(name, dirs, ids)
}

// add adds a receiver that may work in any of these archives, and begins with the first one.
func (c *crew) add(name string, dirs, ids []string) *member {
	c.t.Helper()
	m := &member{name: name, dirs: dirs, ids: ids}
	var hubs []string
	for _, n := range c.nodes {
		way := clustertest.StartProxy(c.t, n.clientURL)
		m.link, hubs = append(m.link, way), append(hubs, "--hub", way.Client())
	}
	must(c.t, os.MkdirAll(c.path(name), 0o755))
	m.role = newRole(c.t, c.path(name), "receiver", append(hubs, "--secret", c.secret, "--archive", dirs[0],
		"--name", name, "--lookback", "1s", "--segment-size", "256KiB")...)
	c.members = append(c.members, m)
	return m
}

// everyone starts a receiver for each archive that has none.
func (c *crew) everyone() {
	c.t.Helper()
	for _, m := range slices.Clone(c.members) {
		if !m.role.running() {
			m.start()
		}
		for i, dir := range m.dirs {
			if i != m.in {
				c.add(m.name+"-"+filepath.Base(dir), []string{dir}, []string{m.ids[i]}).start()
			}
		}
	}
}

// id of the archive it works in.
func (m *member) id() string { return m.ids[m.in] }

// work makes it write another of its archives from its next start on.
func (m *member) work(in int) {
	m.args[slices.Index(m.args, "--archive")+1] = m.dirs[in]
	m.in = in
}

// makeArchive makes an empty archive, so that its id is known before a receiver runs.
func makeArchive(t testing.TB, dir string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	cfg := archive.DefaultConfig()
	cfg.Dir = dir
	a, err := archive.Open(cfg)
	must(t, err)
	defer func() { must(t, a.Close()) }()
	return a.ID()
}

// archives lists the directories of all archives.
func (c *crew) archives() (dirs []string) {
	for _, m := range c.members {
		dirs = append(dirs, m.dirs...)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs) // everyone gives some to two members
}

// running are the members that have a process, frozen or not.
func (c *crew) running() []*member {
	return slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return !m.role.running() })
}

// ship starts so many agents, one log each.
func (c *crew) ship(hosts int) {
	c.t.Helper()
	out, err := os.Create(c.path("agents.log"))
	must(c.t, err)
	log := slog.New(slog.NewTextHandler(out, nil))
	ctx, cancel := context.WithCancel(context.Background())
	var agents sync.WaitGroup
	c.end = sync.OnceFunc(func() {
		cancel()
		agents.Wait()
		out.Close()
	})
	c.t.Cleanup(c.end)
	for i := range hosts {
		host := fmt.Sprintf("host%02d", i)
		dir := c.path(host)
		must(c.t, os.MkdirAll(filepath.Join(dir, "state"), 0o755))
		src := c.sourceOf(host, dir, "app.log")
		c.sources = append(c.sources, src)
		agents.Go(func() {
			if err := c.agentOf(ctx, src, filepath.Join(dir, "state"), log.With("host", host)); err != nil {
				c.t.Errorf("agent of %s: %v", host, err)
			}
		})
	}
}

// agentOf is an agent as its command runs one. Its leaf outlives it, for what is in flight at the end.
func (c *crew) agentOf(ctx context.Context, src *source, state string, log *slog.Logger) error {
	secret, err := os.ReadFile(c.secret)
	if err != nil {
		return err
	}
	store, err := checkpoint.Open(state, src.host, log)
	if err != nil {
		return err
	}
	defer store.Close()
	cfg := shipper.DefaultConfig()
	cfg.Host, cfg.Writer, cfg.Session, cfg.Logger = src.host, store.Writer(), rand.Text(), log
	leaf, err := cluster.NewLeaf(cluster.LeafConfig{
		Host: src.host, Writer: cfg.Writer, Session: cfg.Session, Hubs: c.leafURLs(), Secret: strings.TrimSpace(string(secret)), Logger: log,
	})
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- leaf.Run(life) }()
	select {
	case <-leaf.Ready():
		err = tailAndShip(ctx, src, leaf, store, cfg)
	case <-ctx.Done():
	}
	end()
	return errors.Join(err, <-ended)
}

func tailAndShip(ctx context.Context, src *source, leaf *cluster.Leaf, store *checkpoint.Store, cfg shipper.Config) error {
	nc, err := leaf.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	files := tail.DefaultConfig()
	files.Paths, files.Logger = []string{src.path}, cfg.Logger
	tailer, err := tail.New(files)
	if err != nil {
		return err
	}
	ships, err := shipper.New(nc, tailer, store, cfg)
	if err == nil {
		err = ships.Run(ctx)
	}
	return errors.Join(err, tailer.Close())
}

// shipped waits until the hub has everything that was written.
func (c *crew) shipped(v *view) {
	c.t.Helper()
	left := slices.Clone(c.sources)
	until(c.t, "the hub has everything that was written", func() bool {
		c.alive()
		left = slices.DeleteFunc(left, v.holds)
		return len(left) == 0
	})
}

// holds reports whether the chain of a source's host has all of it. Of a generation that the table has forgotten, it has.
func (v *view) holds(src *source) bool {
	v.t.Helper()
	p := wire.Partition(src.host, v.layout.Partitions)
	stream, info := v.stream(p)
	table := v.table(v.layout.Stream(p), src.host)
	linked, err := wire.Follow(v.ctx, stream, wire.PartSubject(v.layout.Number, p, src.host), &table, info.State.LastSeq)
	if err != nil || !linked { // a purge ran meanwhile, or a node was lost
		v.t.Logf("chain of %s: %v", src.host, err)
		return false
	}
	last := false
	for _, e := range table.Sources[src.path] {
		written, err := os.Stat(src.generationFile(int(e.Generation)))
		must(v.t, err)
		if e.Offset != written.Size() {
			return false
		}
		last = last || int(e.Generation) == src.generation
	}
	return last
}

// alive fails the test if a process has ended by itself.
func (c *crew) alive() {
	c.t.Helper()
	c.site.alive()
	for _, m := range c.members {
		m.alive()
	}
}
