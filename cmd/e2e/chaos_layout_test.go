package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
)

// divider runs `logdrive hub partitions` against the hub of a crew.
type divider struct {
	*crew
	js    jetstream.JetStream
	kills int
}

// partitions runs the command to its end.
func (d *divider) partitions(args ...string) (said string, status int) {
	d.t.Helper()
	return command(d.t, d.dir, "", d.args(args...)...)
}

func (d *divider) args(args ...string) []string {
	return slices.Concat([]string{"hub", "partitions"}, d.directHubs(), []string{"--secret", d.secret}, args)
}

// status tells how the hub stands; not when it is down.
func (d *divider) status() (cluster.LayoutStatus, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Second)
	defer cancel()
	return cluster.ReadLayout(ctx, d.js)
}

// divide changes the number of partitions while processes are killed, so many times, and expects the command to see it through.
func (d *divider) divide(r *rand.Rand, partitions, kills int) {
	d.t.Helper()
	d.hub.ready()
	start := time.Now()
	cmd := exec.Command(binary(d.t), d.args(fmt.Sprint(partitions))...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	must(d.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	until(d.t, "the change is wanted", func() bool {
		s, err := d.status()
		return err == nil && (s.Next != nil || s.Now.Partitions == partitions)
	})
	for range kills {
		wait(r, 500*time.Millisecond)
		d.killOne(r)
	}
	select {
	case err := <-ended:
		if want := fmt.Sprintf("%d partitions", partitions); err != nil || !strings.Contains(said.String(), want) {
			d.t.Fatalf("the command ended with %v, it said\n%s", err, said.String())
		}
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
		s, err := d.status()
		d.t.Fatalf("the change into %d partitions does not end: %+v, %v; the command said\n%s", partitions, s, err, said.String())
	}
	d.t.Logf("%d partitions after %v, %d kills so far", partitions, time.Since(start).Round(time.Millisecond), d.kills)
}

// killOne kills a receiver, the agent or, most likely, a node of the hub. Of several nodes only one is away at a time.
func (d *divider) killOne(r *rand.Rand) {
	d.t.Helper()
	node := d.nodes[r.IntN(len(d.nodes))]
	victims := []*role{node.role, node.role, d.members[0].role, d.members[1].role, d.agent}
	victim := victims[r.IntN(len(victims))]
	victim.restart()
	if victim == node.role && len(d.nodes) > 1 {
		victim.ready()
	}
	d.kills++
}

// finishDivided brings everything to rest in the layout that is there now, ends all cleanly and checks the bytes.
func (d *divider) finishDivided() {
	d.t.Helper()
	v := d.view()
	d.shipped(v)
	until(d.t, "every partition is archived", func() bool {
		d.alive()
		for p := range v.layout.Partitions {
			if _, info := v.stream(p); v.record(p).Floor != info.State.LastSeq {
				return false
			}
		}
		return true
	})
	v.nc.Close()
	d.end()
	d.agent.stop()
	for _, m := range d.running() {
		m.stop()
	}
	if d.t.Failed() {
		d.t.FailNow()
	}
	d.exact()
	d.stopHub()
}

// newDivider starts two receivers, agents in this process, and one that is a process.
func newDivider(t testing.TB, r *rand.Rand, nodes int) (d *divider, stop func()) {
	t.Helper()
	d = &divider{crew: newCrewOf(t, nodes)}
	for range 2 {
		d.join(1).start()
	}
	d.ship(12)
	own := d.newSource("app.log")
	d.agent.start().ready()
	stopAll := d.writeAll(r)
	stopOwn := own.keepWriting(r.Uint64(), habit{lines: 20, pause: 50 * time.Millisecond, every: 5 * time.Second, rotate: byRename})
	d.sources = append(d.sources, own)
	nc := d.view().nc
	js, err := jetstream.New(nc)
	must(t, err)
	d.js = js
	return d, func() { stopAll(); stopOwn() }
}

// The number of partitions changes and changes again, while hosts write, and hub, receivers and an agent are killed. Every byte ends up in one archive,
// once and in order.
func TestChaosLayout(t *testing.T) {
	slow(t)
	changeLayouts(t, 1)
}

// The same on a hub of three nodes: what one of them has acknowledged the others may learn later, and none of it may stay behind.
func TestChaosLayoutOfNodes(t *testing.T) {
	slow(t)
	changeLayouts(t, hubSize)
}

func changeLayouts(t *testing.T, nodes int) {
	t.Helper()
	r := random(t)
	d, stop := newDivider(t, r, nodes)
	wait(r, time.Second)
	for _, partitions := range []int{16, 3} {
		for n := range length(1) {
			wait(r, time.Second)
			d.divide(r, partitions+n%2, 5)
		}
	}
	stop()
	d.finishDivided()
}

// The command tells how the hub stands, refuses what cannot be, waits for receivers, and takes a change back.
func TestCLIPartitions(t *testing.T) {
	s := newSite(t, options{})
	s.hub.start().ready()
	src := s.newSource("app.log")
	src.lines(100)
	s.agent.start().ready()
	d := &divider{crew: &crew{site: s}}
	v := s.view()
	d.js = v.js
	until(t, "the hub has the log", func() bool { return v.head() > 0 })
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 0, "layout 1: 2 partitions, streams of 16 MiB"},
		{"--json", 0, `"partitions": 2`},
		{"2", 1, "the hub has 2 partitions of 16777216 bytes already"},
		{"0", 1, "0 partitions: 1 to 256 are possible"},
		{"many", 1, "many partitions: 1 to 256 are possible"},
		{"--size 1MiB", 1, "--size of how many partitions?"},
		{"2 --size x", 1, `--size "x": write a size`},
		{"2 --size 1KiB", 1, "stream size 1024 bytes: 1048576 to"},
		{"3 --abort", 1, "--abort takes a change back: what is 3 for?"},
		{"--abort", 1, "nobody changes the layout"},
	} {
		if said, status := d.partitions(strings.Fields(c.args)...); status != c.status || !strings.Contains(said, c.want) {
			t.Errorf("partitions %s: exit status %d, it said\n%s\nwant %d and %q", c.args, status, said, c.status, c.want)
		}
	}

	// Without a receiver nothing moves.
	ctx, interrupt := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, binary(t), d.args("3")...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	until(t, "the change is wanted", func() bool { s, err := d.status(); return err == nil && s.Next != nil })
	if said, status := d.partitions("5"); status != 1 || !strings.Contains(said, "the layout is being changed already, into 3 partitions") {
		t.Errorf("a second change: exit status %d, it said\n%s", status, said)
	}
	if said, _ := d.partitions(); !strings.Contains(said, "becomes layout 2: 3 partitions, streams of 16 MiB as soon as the archive has everything of partitions ") {
		t.Errorf("during the change it said\n%s", said)
	}
	interrupt()
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "interrupted: the hub goes on into 3 partitions") {
		t.Errorf("interrupted, it ended with %v and said\n%s", err, said.String())
	}
	if said, status := d.partitions("--abort"); status != 0 || !strings.Contains(said, "layout 1: 2 partitions, streams of 16 MiB\n") {
		t.Errorf("abort: exit status %d, it said\n%s", status, said)
	}

	s.receiver.start().ready()
	if said, status := d.partitions("3", "--size", "8MiB"); status != 0 || !strings.Contains(said, "layout 2: 3 partitions, streams of 8.0 MiB") {
		t.Errorf("change: exit status %d, it said\n%s", status, said)
	}
	src.lines(100)
	v.nc.Close()
	s.hub.stop() // its flags still say 2 partitions
	s.hub.start()
	s.settle(nil, src)
}
