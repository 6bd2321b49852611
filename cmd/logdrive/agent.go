package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
			list("hub", "nats-leaf://host:port, ws://host:port or wss://host of a hub node (repeatable); the other nodes are learnt from it; ${NAME} stands for a variable of the environment"),
			text("proxy", "", "http://host:port of an HTTP proxy on the way to the hub, or none (for ws:// and wss://: HTTP_PROXY, HTTPS_PROXY, NO_PROXY)"),
			secretFlag("file with the hub's secret"),
			text("stdin", "", "ship standard input as the source of this name"),
			text("stdin-size", "64MiB", "size at which the spool of standard input is rotated; what is rotated goes when the hub has it"),
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
	addresses, err := hubs(c)
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		return errors.New("--hub nats-leaf://host:port is missing: name a hub node's leaf listener, or its WebSocket listener as ws:// or wss://")
	}
	proxy, err := proxyFunc(c.String("proxy"))
	if err != nil {
		return err
	}
	a := agent{c: c, p: p, state: c.String("state"), hubs: addresses, proxy: proxy, secret: secret, paths: paths, stdin: c.String("stdin")}
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
	proxy   func(*url.URL) (*url.URL, error) // before a hub; nil: never one
	secret  string
	paths   []string
	exclude []string // beside those of the flags
	stdin   string   // "": standard input is not read
}

// run ships until ctx ends or, with --once, until everything is acknowledged. ready is called when the leaf is up.
func (a *agent) run(ctx context.Context, ready func() error) (err error) {
	s := shipment{agent: a, session: rand.Text()}
	if s.host, err = hostName(a.c.String("host")); err != nil {
		return err
	}
	if a.state, err = absolute(a.state); err != nil {
		return err
	}
	if err := s.open(ctx); err != nil || s.store == nil {
		return err
	}
	defer s.store.Close()
	if s.leaf, err = cluster.NewLeaf(cluster.LeafConfig{
		Host: s.host, Writer: s.store.Writer(), Session: s.session, Hubs: a.hubs, Proxy: a.proxy, Secret: a.secret, Logger: a.p.log,
	}); err != nil {
		return err
	}
	if s.tailer, err = a.newTailer(s.spool); err != nil {
		return err
	}
	defer s.tailer.Close()
	return s.run(ctx, ready)
}

// shipment is an agent with all its parts.
type shipment struct {
	*agent
	host    string
	session string
	store   *checkpoint.Store
	leaf    *cluster.Leaf
	spool   *spool
	tailer  *tail.Tailer
}

// run keeps the leaf up as long as the shipper needs it: what is in flight when ctx ends is still acknowledged through it.
func (s *shipment) run(ctx context.Context, ready func() error) error {
	group, groupCtx := errgroup.WithContext(context.WithoutCancel(ctx))
	leafLife, endLeaf := context.WithCancel(groupCtx)
	shipping, stop := context.WithCancel(groupCtx)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	group.Go(func() error { return s.leaf.Run(leafLife) })
	group.Go(func() error {
		defer endLeaf()
		if !await(shipping, s.leaf.Ready()) {
			return nil
		}
		if err := ready(); err != nil {
			return err
		}
		return s.ship(shipping)
	})
	return group.Wait()
}

func (s *shipment) ship(ctx context.Context) error {
	nc, err := s.leaf.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	cfg := shipper.DefaultConfig()
	cfg.Host, cfg.Writer, cfg.Session = s.host, s.store.Writer(), s.session
	cfg.Codec, cfg.Once, cfg.Hold = codec(s.c), s.c.Bool("once"), s.c.Bool("hold")
	cfg.Logger, cfg.Metrics = s.p.log.With("component", "agent", "host", s.host), s.p.registry
	cfg.Explain, cfg.Shipped = func() string { return s.leaf.Link().Fault }, s.spool.shipped
	ships, err := shipper.New(nc, s.tailer, s.store, cfg)
	if err != nil {
		return err
	}
	s.p.ask(ships.Ready)
	if cfg.Once {
		if err := s.spool.run(ctx); err != nil { // all of the input is what is there
			return err
		}
		defer showProgress(ships.Pending)()
		return ships.Run(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error { return s.spool.run(ctx) })
	group.Go(func() error {
		defer end()
		return ships.Run(ctx)
	})
	return group.Wait()
}

func (a *agent) newTailer(spool *spool) (*tail.Tailer, error) {
	cfg := tail.DefaultConfig()
	cfg.Once, cfg.Hold, cfg.HoldDir = a.c.Bool("once"), a.c.Bool("hold"), a.holdDir()
	cfg.Logger = a.p.log
	for _, path := range a.paths {
		abs, err := absolute(path)
		if err != nil {
			return nil, err
		}
		cfg.Paths = append(cfg.Paths, abs)
	}
	own := []string{filepath.Join(a.state, checkpoint.FileName), cfg.HoldDir, a.c.String("log-file")}
	for _, pattern := range slices.Concat(a.c.StringSlice("exclude"), a.exclude, own) {
		if pattern == "" {
			continue
		}
		abs, err := anywhere(pattern)
		if err != nil {
			return nil, err
		}
		cfg.Exclude = append(cfg.Exclude, abs)
	}
	if spool != nil {
		cfg.Paths = append(cfg.Paths, spool.path)
	}
	return tail.New(cfg)
}

// anywhere is a pattern of what to leave out, from the root: one such as *.bak or **/old/* means every directory, others stand below the working directory as
// paths do.
func anywhere(pattern string) (string, error) {
	switch {
	case strings.HasPrefix(pattern, "**/"):
		return "/" + pattern, nil
	case strings.ContainsAny(pattern, "*?[{") && !strings.Contains(pattern, "/"):
		return "/**/" + pattern, nil
	}
	return absolute(pattern)
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
