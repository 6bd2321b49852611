package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

func agentCommand() *cli.Command {
	return &cli.Command{
		Name:      "agent",
		Usage:     "ship the files of this host to a hub",
		ArgsUsage: "PATH...   files, directories or quoted globs such as '/var/log/**/*.log'",
		Flags: join(commonFlags(), agentFlags(), []cli.Flag{
			list("hub", "nats-leaf://host:port of a hub node (repeatable)"),
			secretFlag("file with the hub's secret"),
			text("stdin", "", "ship standard input as the source of this name"),
		}),
		Action: runAgent,
	}
}

func runAgent(c *cli.Context) error {
	paths, err := pathsToShip(c)
	if err != nil {
		return err
	}
	p, err := newProcess(c)
	if err != nil {
		return err
	}
	secret, err := needSecret(c)
	if err != nil {
		return err
	}
	if len(c.StringSlice("hub")) == 0 {
		return errors.New("--hub nats-leaf://host:port is missing: name a hub node's leaf listener")
	}
	a := agent{c: c, p: p, state: c.String("state"), hubs: c.StringSlice("hub"), secret: secret, paths: paths, stdin: c.String("stdin")}
	group, ctx := errgroup.WithContext(c.Context)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error { return p.serve(ctx) })
	group.Go(func() error {
		defer end()
		return a.run(ctx, func() error { return p.announce(ports{}) })
	})
	return group.Wait()
}

// agent is what it takes to ship the files of one host.
type agent struct {
	c       *cli.Context
	p       *process
	state   string
	hubs    []string
	secret  string
	paths   []string
	exclude []string // beside those of the flags
	stdin   string   // "": standard input is not read
}

// run ships until ctx ends or, with --once, until everything is acknowledged. ready is called when the leaf is up.
func (a *agent) run(ctx context.Context, ready func() error) error {
	host, err := hostName(a.c.String("host"))
	if err != nil {
		return err
	}
	if a.state, err = absolute(a.state); err != nil {
		return err
	}
	store, err := checkpoint.Open(a.state, host, a.p.log)
	if err != nil {
		return err
	}
	defer store.Close()
	session := rand.Text()
	leaf, err := cluster.NewLeaf(cluster.LeafConfig{Host: host, Writer: store.Writer(), Session: session, Hubs: a.hubs, Secret: a.secret, Logger: a.p.log})
	if err != nil {
		return err
	}
	spool, err := a.openSpool()
	if err != nil {
		return err
	}
	tailer, err := a.newTailer(spool)
	if err != nil {
		return err
	}
	defer tailer.Close()
	return a.ship(ctx, host, session, leaf, tailer, store, spool, ready)
}

// ship runs the leaf as long as the shipper needs it: what is in flight when ctx ends is still acknowledged through it.
func (a *agent) ship(ctx context.Context, host, session string, leaf *cluster.Leaf, tailer *tail.Tailer, store *checkpoint.Store, spool *spool, ready func() error) error {
	group, groupCtx := errgroup.WithContext(context.WithoutCancel(ctx))
	leafLife, endLeaf := context.WithCancel(groupCtx)
	shipping, stop := context.WithCancel(groupCtx)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	group.Go(func() error { return leaf.Run(leafLife) })
	group.Go(func() error {
		defer endLeaf()
		select {
		case <-leaf.Ready():
		case <-shipping.Done():
			return nil
		}
		if err := ready(); err != nil {
			return err
		}
		return a.shipThrough(shipping, host, session, leaf, tailer, store, spool)
	})
	return group.Wait()
}

func (a *agent) shipThrough(ctx context.Context, host, session string, leaf *cluster.Leaf, tailer *tail.Tailer, store *checkpoint.Store, spool *spool) error {
	nc, err := leaf.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	cfg := shipper.DefaultConfig()
	cfg.Host, cfg.Writer, cfg.Session = host, store.Writer(), session
	cfg.Codec, cfg.Once, cfg.Hold = codec(a.c), a.c.Bool("once"), a.c.Bool("hold")
	cfg.Logger, cfg.Metrics = a.p.log.With("component", "agent", "host", host), a.p.registry
	s, err := shipper.New(nc, tailer, store, cfg)
	if err != nil {
		return err
	}
	a.p.ask(s.Ready)
	group, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error { return spool.run(ctx) })
	group.Go(func() error {
		defer end()
		return s.Run(ctx)
	})
	return group.Wait()
}

func (a *agent) newTailer(spool *spool) (*tail.Tailer, error) {
	cfg := tail.DefaultConfig()
	cfg.Once, cfg.Hold, cfg.HoldDir = a.c.Bool("once"), a.c.Bool("hold"), filepath.Join(a.state, "hold")
	cfg.Logger = a.p.log
	for _, path := range a.paths {
		abs, err := absolute(path)
		if err != nil {
			return nil, err
		}
		cfg.Paths = append(cfg.Paths, abs)
	}
	cfg.Exclude = append(a.c.StringSlice("exclude"), a.exclude...)
	for _, own := range []string{filepath.Join(a.state, checkpoint.FileName), cfg.HoldDir, a.c.String("log-file")} {
		if own != "" {
			cfg.Exclude = append(cfg.Exclude, own)
		}
	}
	if spool != nil {
		cfg.Paths = append(cfg.Paths, spool.path)
	}
	return tail.New(cfg)
}

// hostName is the flag's, or the system's.
func hostName(flag string) (string, error) {
	host := flag
	if host == "" {
		var err error
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("ask the system for its host name: %w; use --host", err)
		}
	}
	if err := wire.ValidHost(host); err != nil {
		return "", fmt.Errorf("%w; choose one with --host", err)
	}
	return host, nil
}

func codec(c *cli.Context) string {
	if name := c.String("codec"); name != "none" {
		return name
	}
	return wire.CodecNone
}
