package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/proc"
	"github.com/logdrive/logdrive/cmd/bench/swarm"
)

const (
	scaleEvery = 100 * time.Millisecond // how often the archives are looked at: the error of what is measured
	scaleLimit = 20 * time.Minute
)

func scaleCommand() *cli.Command {
	return &cli.Command{
		Name:  "scale",
		Usage: "measure many agents' links to one hub with three receivers",
		Description: "Hub and receivers are processes of logdrive, the agents run in a few processes, each with a leaf, a tailer and a checkpoint of its own\n" +
			"(package swarm says what differs from logdrive agent). Every line of every host is checked over all archives afterwards.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "agents", Value: 1000, Usage: "how many"},
			&cli.Float64Flag{Name: "rate", Value: 1, Usage: "lines a second, of each"},
			&cli.IntFlag{Name: "processes", Value: 4, Usage: "that the agents share"},
			&cli.IntFlag{Name: "rounds", Value: 3, Usage: "of killing an owner, the coordinator and the hub"},
			&cli.DurationFlag{Name: "span", Value: 30 * time.Second, Usage: "of steady load that is metered"},
			&cli.StringFlag{Name: "binary", Usage: "logdrive `FILE` to measure (default: build it)"},
			&cli.StringFlag{Name: "dir", Usage: "make the temporary directory in this `DIR`, on the disk to be measured"},
		},
		Action: runScale,
	}
}

func runScale(c *cli.Context) error {
	s := scale{
		benchmark: benchmark{binary: c.String("binary"), notes: os.Stderr},
		agents:    c.Int("agents"), processes: c.Int("processes"), rounds: c.Int("rounds"), rate: c.Float64("rate"), span: c.Duration("span"),
	}
	if s.agents < 1 || s.processes < 1 || s.rounds < 0 || s.rate <= 0 || s.span <= 0 {
		return fmt.Errorf("%d agents in %d processes at %v lines a second for %s, %d rounds: all must be positive", s.agents, s.processes, s.rate, s.span, s.rounds)
	}
	var err error
	if s.dir, err = os.MkdirTemp(c.String("dir"), "logdrive-scale-"); err != nil {
		return fmt.Errorf("make a place to work: %w", err)
	}
	defer os.RemoveAll(s.dir)
	if s.state, err = os.MkdirTemp(inMemory(), "logdrive-scale-"); err != nil {
		return fmt.Errorf("make a place to work: %w", err)
	}
	defer os.RemoveAll(s.state)
	ctx, cancel := context.WithTimeoutCause(c.Context, scaleLimit, fmt.Errorf("not done after %s", scaleLimit))
	defer cancel()
	if err := s.build(ctx); err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	return s.print(c.App.Writer)
}

// inMemory is a directory that is no disk, if there is one: the agents' checkpoints have disks of their own elsewhere.
func inMemory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// scale is one run with many agents.
type scale struct {
	benchmark
	agents, processes, rounds int
	rate                      float64
	span                      time.Duration
	state                     string // directory of the agents' states

	*troupe
	meters             []metered
	joined             latencies // from the start of the agents until each host is in the archive
	owner, coordinator outage
	hub                outage
}

// metered is what processes of a kind used in the span.
type metered struct {
	name  string
	cpu   time.Duration
	rss   int64 // bytes, at its end
	peak  int64
	alone int64 // bytes, before there were agents
}

// outage is how long hosts stood still after a process was killed.
type outage struct {
	partitions latencies // until the first byte of each partition is archived elsewhere
	hosts      latencies // until a byte of each host is archived
	back       latencies // until the process was there again, if somebody waits for it
}

func (s *scale) run(ctx context.Context) (err error) {
	if s.troupe, err = s.benchmark.troupe(ctx, s.dir, 1, receiversHere); err != nil {
		return err
	}
	defer s.close()
	if err := os.Mkdir(s.logs(), 0o755); err != nil {
		return fmt.Errorf("make a place to work: %w", err)
	}
	for i := range s.agents {
		s.addHost(swarm.Host(i), swarm.Log(s.logs(), i))
	}
	if err := s.during(ctx, s.rate*float64(s.agents), scaleEvery, s.acts); err != nil {
		return err
	}
	s.note("all is written; checking")
	return s.settle(ctx)
}

func (s *scale) logs() string { return filepath.Join(s.dir, "logs") }

func (s *scale) note(format string, args ...any) {
	fmt.Fprintf(s.notes, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (s *scale) acts(ctx context.Context) error {
	if err := s.join(ctx); err != nil {
		return err
	}
	s.note("%d agents ship, s until each did: %s", s.agents, s.joined.seconds())
	if err := s.meter(ctx); err != nil {
		return err
	}
	for range s.rounds {
		if err := s.kill(ctx, false, &s.owner); err != nil {
			return err
		}
		s.note("owner killed, s until its partitions go on: %s", s.owner.partitions.seconds())
		if err := s.kill(ctx, true, &s.coordinator); err != nil {
			return err
		}
		s.note("coordinator killed, s until its partitions go on: %s", s.coordinator.partitions.seconds())
		if err := s.killHub(ctx); err != nil {
			return err
		}
		s.note("hub killed, s until each host goes on: %s", s.hub.hosts.seconds())
	}
	_, err := s.calm(ctx)
	return err
}

// join starts the agents and waits until each has shipped something.
func (s *scale) join(ctx context.Context) error {
	for _, m := range s.kinds() {
		_, rss, _ := used(m.processes)
		s.meters = append(s.meters, metered{name: m.name, alone: rss})
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	at := time.Now()
	for i := range s.processes {
		first, end := i*s.agents/s.processes, (i+1)*s.agents/s.processes
		name := fmt.Sprintf("agents-%d", i)
		p, err := proc.Start(name, filepath.Join(s.dir, name+".log"), self, "swarm", "--hub", s.crew.Hub.Nodes[0].Leaf(), "--secret", s.crew.Hub.Secret(), "--dir", s.logs(), "--state", s.state,
			"--first", fmt.Sprint(first), "--agents", fmt.Sprint(end-first))
		if err != nil {
			return err
		}
		s.crew.AddAgents(p)
	}
	s.joined, err = s.untilHosts(ctx, at, -1, nil)
	return err
}

// untilHosts waits until hosts of some partitions (nil: of all) have grown in another archive than this one, and tells how long that took from at.
func (s *scale) untilHosts(ctx context.Context, at time.Time, archive int, partitions []int) (all latencies, err error) {
	for i, g := range s.growths {
		if partitions != nil && !slices.Contains(partitions, s.partition(i)) {
			continue
		}
		grown, err := waitFor(ctx, func() time.Time { return g.first(at, archive) })
		if err != nil {
			return nil, fmt.Errorf("%s does not go on: %w", swarm.Host(i), err)
		}
		all = append(all, grown.Sub(at))
	}
	slices.Sort(all)
	return all, nil
}

func (s *scale) partition(host int) int {
	return wire.Partition(swarm.Host(host), s.floors.layout.Partitions)
}

// kind is processes that are metered together.
type kind struct {
	name      string
	processes []*proc.Process
}

func (s *scale) kinds() []kind {
	return []kind{{"hub", s.crew.Hub.Processes()}, {"3 receivers", s.crew.Receivers()}, {fmt.Sprintf("%d agents", s.agents), s.crew.Agents()}}
}

func used(all []*proc.Process) (cpu time.Duration, rss, peak int64) {
	for _, p := range all {
		u := p.Usage()
		cpu, rss, peak = cpu+u.CPU, rss+u.RSS, peak+u.Peak
	}
	return cpu, rss, peak
}

// meter takes what the processes use while nothing happens but the load.
func (s *scale) meter(ctx context.Context) error {
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	own := ownCPU()
	for i, k := range s.kinds() {
		s.meters[i].cpu, _, _ = used(k.processes)
	}
	if err := sleep(ctx, s.span); err != nil {
		return err
	}
	for i, k := range s.kinds() {
		cpu, rss, peak := used(k.processes)
		m := &s.meters[i]
		m.cpu, m.rss, m.peak = cpu-m.cpu, rss, peak
		s.note("%s: %s cores, %s MiB", m.name, core(m.cpu, s.span), mib(m.rss))
	}
	s.meters = append(s.meters, metered{name: "bench itself", cpu: ownCPU() - own})
	return nil
}

// kill ends a receiver without warning, waits until its hosts go on elsewhere, and brings it back.
func (s *scale) kill(ctx context.Context, coordinator bool, o *outage) error {
	victim, err := s.pick(ctx, coordinator)
	if err != nil {
		return err
	}
	at := time.Now()
	if err := s.crew.KillReceiver(victim.Name); err != nil {
		return err
	}
	archive := slices.Index(s.names, victim.Name)
	for _, partition := range victim.Partitions {
		hosts, err := s.untilHosts(ctx, at, archive, []int{partition})
		if err != nil {
			return err
		}
		if len(hosts) > 0 { // a partition without a host has nothing to archive
			o.partitions, o.hosts = append(o.partitions, hosts[0]), append(o.hosts, hosts...)
		}
	}
	slices.Sort(o.partitions)
	slices.Sort(o.hosts)
	return s.crew.Join(ctx, victim.Name)
}

// killHub kills the hub and starts it again: all agents link and say hello at once.
func (s *scale) killHub(ctx context.Context) error {
	if _, err := s.calm(ctx); err != nil {
		return err
	}
	at := time.Now()
	hub := s.crew.Hub.Nodes[0]
	if err := errors.Join(hub.Kill(), s.crew.Hub.Restart(ctx, hub)); err != nil {
		return err
	}
	ready := time.Now() // what grows before that was on its way already
	hosts, err := s.untilHosts(ctx, ready, -1, nil)
	for _, h := range hosts {
		s.hub.hosts = append(s.hub.hosts, h+ready.Sub(at))
	}
	s.hub.back = append(s.hub.back, ready.Sub(at))
	slices.Sort(s.hub.hosts)
	slices.Sort(s.hub.back)
	return err
}

func (s *scale) print(w io.Writer) error {
	var rows [][]string
	for _, m := range s.meters {
		rows = append(rows, []string{m.name, core(m.cpu, s.span), mib(m.alone), mib(m.rss), mib(m.peak)})
	}
	title := fmt.Sprintf("%d agents, %v lines/s each", s.agents, s.rate)
	if err := printGrid(w, []string{title, "cores", "MiB without agents", "MiB", "peak MiB"}, rows); err != nil {
		return err
	}
	return printGrid(w, []string{"seconds: p50 / max", "until the process is back", "until a partition goes on", "until a host goes on"}, [][]string{
		{"start of all agents, one after the other", "-", "-", s.joined.seconds()},
		{"kill -9 an owner", "-", s.owner.partitions.seconds(), s.owner.hosts.seconds()},
		{"kill -9 the coordinator, an owner too", "-", s.coordinator.partitions.seconds(), s.coordinator.hosts.seconds()},
		{"kill -9 the hub, and start it", s.hub.back.seconds(), "-", s.hub.hosts.seconds()},
	})
}
