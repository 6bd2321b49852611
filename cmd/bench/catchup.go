package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/lines"
)

const progressEvery = 5 * time.Millisecond

// catch is a way to catch up with logs that stand there.
type catch struct {
	name       string
	format     lines.Format
	codec      string
	files      int // all of one host, or one of each
	hosts      int
	nodes      int // of the hub
	partitions int // 0: the hub's own choice
}

// catches are those of one agent and one hub node.
func catches() (all []catch) {
	for _, format := range []lines.Format{lines.Combined, lines.JSON} {
		for _, codec := range []string{"zstd", "s2", "none"} {
			all = append(all, catch{name: fmt.Sprintf("catchup-%s-%s", format, codec), format: format, codec: codec, files: 1, hosts: 1, nodes: 1})
		}
	}
	for _, codec := range []string{"zstd", "s2"} {
		all = append(all, catch{name: "catchup-200-files-" + codec, format: lines.Combined, codec: codec, files: 200, hosts: 1, nodes: 1})
	}
	return all
}

// catchesOfMany are those through three hub nodes, and those of several agents at once.
func catchesOfMany() (all []catch) {
	for _, codec := range []string{"zstd", "s2"} {
		all = append(all, catch{name: "catchup-3-nodes-combined-" + codec, format: lines.Combined, codec: codec, files: 1, hosts: 1, nodes: 3})
	}
	for _, nodes := range []int{1, 3} {
		for _, p := range []int{1, 4, 8} {
			name := fmt.Sprintf("catchup-%d-hosts-P%d-R%d", manyHosts, p, nodes)
			all = append(all, catch{name: name, format: lines.Combined, codec: "s2", files: manyHosts, hosts: manyHosts, nodes: nodes, partitions: p})
		}
	}
	return all
}

// manyHosts is how many agents catch up at once where partitions matter.
const manyHosts = 8

// caughtUp is one run of a catch-up: from the start of the agents until everything is durable in the archive.
type caughtUp struct {
	bytes    int64
	lines    uint64
	visible  time.Duration // until every byte could be read in the archive
	durable  time.Duration // until the partitions' records covered it
	cost     []cost
	placed   string // where leaders and links are
	attempts int
}

func (b *benchmark) catchUp(k catch) scenario {
	return scenario{k.name, time.Duration(b.repeat) * b.limit, func(ctx context.Context, t *table) error {
		c, err := b.corpus(ctx, k.format, k.files)
		if err != nil {
			return err
		}
		var runs []caughtUp
		for range b.repeat {
			r, err := b.catchUpOnce(ctx, c, k)
			if err != nil {
				return err
			}
			fmt.Fprintf(b.notes, "  durable after %s, visible after %s\n", r.durable.Round(time.Millisecond), r.visible.Round(time.Millisecond))
			if k.nodes > 1 {
				fmt.Fprintf(b.notes, "  CPU s/GiB: %s; %s\n", singly(r.cost[1], r.bytes), r.placed)
			}
			runs = append(runs, r)
		}
		slices.SortFunc(runs, func(a, b caughtUp) int { return int(a.durable - b.durable) })
		median := runs[(len(runs)-1)/2]
		median.attempts = len(runs)
		t.catchUp(k.name, median)
		return nil
	}}
}

func (b *benchmark) catchUpOnce(ctx context.Context, c *corpus, k catch) (caughtUp, error) {
	r := caughtUp{bytes: c.bytes, lines: c.lines}
	cfg := fleet.Config{Codec: k.codec, Nodes: k.nodes}
	if k.partitions > 0 {
		cfg.HubFlags = []string{"--partitions", fmt.Sprint(k.partitions)}
	}
	f, clean, err := b.fleet(ctx, cfg)
	if err != nil {
		return r, err
	}
	defer clean()
	watches, closeAll, err := watch(ctx, f, k.names())
	if err != nil {
		return r, err
	}
	defer closeAll()
	before := meter(f)
	begun := time.Now()
	if err := k.startAgents(f, c); err != nil {
		return r, err
	}
	if err := waitVisible(ctx, f, c.bytes); err != nil {
		return r, err
	}
	r.visible = time.Since(begun)
	for _, w := range watches {
		if err := waitDurable(ctx, f, w); err != nil {
			return r, err
		}
	}
	r.durable = time.Since(begun)
	r.cost = costs(f, before, meter(f))
	if r.placed, err = placed(ctx, f, k.names(), watches); err != nil {
		return r, err
	}
	if err := f.Stop(); err != nil {
		return r, err
	}
	return r, verify(f, c.wrote, c.dir)
}

// names of the hosts: several are spread evenly over any number of partitions that divides theirs.
func (k catch) names() []string {
	if k.hosts == 1 {
		return []string{host}
	}
	return hostsInEach(k.hosts)
}

// startAgents gives the one host all files, or each of several its own.
func (k catch) startAgents(f *fleet.Fleet, c *corpus) error {
	if k.hosts == 1 {
		return f.StartAgent(host, c.dir)
	}
	for i, name := range k.names() {
		if err := f.StartAgent(name, c.wrote[i].Path); err != nil {
			return err
		}
	}
	return nil
}

// hostsInEach names a host for every partition: host and partition have the same number.
func hostsInEach(partitions int) (all []string) {
	for p := range partitions {
		for i := 0; ; i++ {
			if name := fmt.Sprintf("host-%d", i); wire.Partition(name, partitions) == p {
				all = append(all, name)
				break
			}
		}
	}
	return all
}

// placed tells, for every host, the node that leads its partition and the one that its agent is linked to.
func placed(ctx context.Context, f *fleet.Fleet, hosts []string, watches []*fleet.Watch) (string, error) {
	var parts []string
	for i, name := range hosts {
		named, err := watches[i].Leader(ctx)
		if err != nil {
			return "", err
		}
		leader := f.Hub.Named(named)
		if leader == nil {
			return "", fmt.Errorf("%s: %w", name, errNoLeader)
		}
		node, err := f.Hub.LinkedTo(name)
		if err != nil || node == nil {
			return "", errors.Join(err, fmt.Errorf("%s: %w", name, errNoLink))
		}
		parts = append(parts, fmt.Sprintf("%s led by %s through %s", name, leader.Name(), node.Name()))
	}
	return strings.Join(parts, ", "), nil
}

var errNoLeader = errors.New("no node leads its partition")

var errNoLink = errors.New("its agent has not said which node it is linked to")

// watch looks at the partitions of hosts.
func watch(ctx context.Context, f *fleet.Fleet, hosts []string) (all []*fleet.Watch, done func(), err error) {
	done = func() {
		for _, w := range all {
			w.Close()
		}
	}
	for _, name := range hosts {
		w, err := f.Hub.Watch(ctx, name)
		if err != nil {
			done()
			return nil, nil, err
		}
		all = append(all, w)
	}
	return all, done, nil
}

// waitVisible waits until so many bytes can be read in the archive. More would be doubled ones.
func waitVisible(ctx context.Context, f *fleet.Fleet, want int64) error {
	for {
		got, err := f.Archived()
		if err != nil {
			return err
		}
		if got > want {
			return fmt.Errorf("%d bytes in the archive of %d written: %w", got, want, errFaults)
		}
		if got == want {
			return nil
		}
		if err := pause(ctx, f); err != nil {
			return fmt.Errorf("%d of %d bytes in the archive: %w", got, want, err)
		}
	}
}

// waitDurable waits until the record covers all that is stored.
func waitDurable(ctx context.Context, f *fleet.Fleet, w *fleet.Watch) error {
	for {
		last, err := w.Last(ctx)
		if err != nil {
			return err
		}
		floor, err := w.Floor(ctx)
		if err != nil {
			return err
		}
		if floor >= last {
			return nil
		}
		if err := pause(ctx, f); err != nil {
			return fmt.Errorf("floor %d of %d: %w", floor, last, err)
		}
	}
}

// pause lets some time go by, unless ctx has ended or a process of the fleet.
func pause(ctx context.Context, f *fleet.Fleet) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(progressEvery):
		return f.Alive()
	}
}
