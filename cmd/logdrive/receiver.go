package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/archive"
)

func receiverCommand() *cli.Command {
	return &cli.Command{
		Name:  "receiver",
		Usage: "write the archive; with a hub node in the same process, or joined to a hub elsewhere",
		Flags: join(commonFlags(), archiveFlags(), memberFlags(), hubFlags(), clusterFlags(), []cli.Flag{
			list("hub", "nats://host:port of a node of a hub that runs elsewhere (repeatable; default: run a hub node here); ${NAME} stands for a variable of the environment"),
			secretFlag("file with the hub's secret; needed with --hub"),
		}),
		Action:          runReceiver,
		Subcommands:     []*cli.Command{drainCommand()},
		HideHelpCommand: true,
	}
}

func runReceiver(c *cli.Context) error {
	if err := errors.Join(flagsOnly(c), checkMember(c)); err != nil {
		return err
	}
	p, err := newProcess(c)
	if err != nil {
		return err
	}
	elsewhere, err := hubOf(c)
	if err != nil {
		return err
	}
	if elsewhere != "" {
		return receiveFrom(c, p, elsewhere)
	}
	hub, err := newHub(c, p, c.String("store"))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(c.Context)
	ctx, end := context.WithCancel(ctx)
	hubLife, endHub := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return p.serve(ctx) })
	group.Go(func() error {
		defer end() // it may have left by itself
		return leaveOrStop(hubLife, c, hub)
	})
	group.Go(func() error {
		defer endHub()
		if err := announceHub(ctx, p, hub); err != nil || ctx.Err() != nil {
			return err
		}
		nc, err := hub.Connect()
		if err != nil {
			return err
		}
		return receive(ctx, c, p, nc)
	})
	return group.Wait()
}

func receiveFrom(c *cli.Context, p *process, hub string) error {
	secret, err := needSecret(c)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(c.Context)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error { return p.serve(ctx) })
	group.Go(func() error {
		defer end()
		nc, err := connect(ctx, hub, secret, p.log)
		if err != nil || nc == nil {
			return err
		}
		if err := p.announce(ports{}); err != nil {
			return err
		}
		return receive(ctx, c, p, nc)
	})
	return group.Wait()
}

// connect joins a hub, and waits for one that does not run yet or is being started again. Without a connection nor an error, ctx ended.
func connect(ctx context.Context, hub, secret string, log *slog.Logger) (*nats.Conn, error) {
	for {
		nc, err := cluster.Connect(hub, secret, cluster.LogErrors(log))
		if !errors.Is(err, cluster.ErrUnreachable) {
			return nc, err
		}
		log.Warn("hub is not reached; trying again", "err", err)
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(reconnectEvery):
		}
	}
}

// reconnectEvery is the pause between attempts to reach a hub.
const reconnectEvery = time.Second

// receive runs a receiver on the archive that the flags name, until ctx ends. It closes the connection.
func receive(ctx context.Context, c *cli.Context, p *process, nc *nats.Conn) error {
	defer nc.Close()
	a, err := openArchive(c, p)
	if err != nil {
		return err
	}
	cfg := receiver.DefaultConfig()
	cfg.Name, cfg.Zone, cfg.Lease = receiverName(c.String("name"), a.ID()), c.String("zone"), c.Duration("lease")
	cfg.Lookback, cfg.Logger, cfg.Metrics = c.Duration("lookback"), p.log.With("component", "receiver"), p.registry
	r, err := receiver.New(nc, a, cfg)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	p.ask(r.Ready)
	return errors.Join(r.Run(ctx), a.Close())
}

func openArchive(c *cli.Context, p *process) (*archive.Archive, error) {
	dir, err := absolute(c.String("archive"))
	if err != nil {
		return nil, err
	}
	cfg := archive.DefaultConfig()
	cfg.Dir, cfg.SegmentAge, cfg.Compress, cfg.Retain = dir, c.Duration("segment-age"), c.String("compress"), c.Duration("retain")
	cfg.Logger = p.log.With("component", "archive")
	if cfg.SegmentBytes, err = size(c, "segment-size"); err != nil {
		return nil, err
	}
	a, err := archive.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return a, nil
}
