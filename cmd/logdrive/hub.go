package main

import (
	"context"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster"
)

func hubCommand() *cli.Command {
	return &cli.Command{
		Name:  "hub",
		Usage: "run a hub node",
		Flags: join(commonFlags(), hubFlags(), clusterFlags(), []cli.Flag{
			text("name", "", "name of this hub node (a random one, kept in the store)"),
			text("zone", "", "where this node runs: nodes of one zone may fail together, and each partition is kept in three"),
			secretFlag("file with the secret of this hub (<store>/secret, made at the first start)"),
		}),
		Action:          runHub,
		Subcommands:     []*cli.Command{partitionsCommand(), membersCommand(), leaveCommand(), evictCommand(), rescueCommand()},
		HideHelpCommand: true,
	}
}

func runHub(c *cli.Context) error {
	if err := flagsOnly(c); err != nil {
		return err
	}
	p, err := newProcess(c)
	if err != nil {
		return err
	}
	hub, err := newHub(c, p, c.String("store"))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(c.Context)
	ctx, end := context.WithCancel(ctx)
	group.Go(func() error { return p.serve(ctx) })
	group.Go(func() error {
		defer end() // it may have left by itself
		return leaveOrStop(ctx, c, hub)
	})
	group.Go(func() error { return announceHub(ctx, p, hub) })
	return group.Wait()
}

// newHub makes a hub node in the store directory, as the flags say. Those that a command does not have stay at their defaults.
func newHub(c *cli.Context, p *process, store string) (*cluster.Hub, error) {
	cfg := cluster.DefaultHubConfig()
	cfg.Name, cfg.StoreDir, cfg.Listen, cfg.LeafListen = c.String("name"), store, c.String("listen"), c.String("leaf-listen")
	cfg.Websocket, cfg.Advertise = c.String("websocket-listen"), cluster.Advertise{Cluster: c.String("cluster-advertise"), Leaf: c.String("leaf-advertise"), Websocket: c.String("websocket-advertise")}
	cfg.Partitions, cfg.Logger = c.Int("partitions"), p.log
	cfg.ClusterListen, cfg.TrustNetwork = c.String("cluster-listen"), c.Bool("trust-network")
	cfg.AnyZone = c.Bool("any-zone")
	var err error
	if err := setPeers(&cfg, c, p); err != nil {
		return nil, err
	}
	if cfg.StreamBytes, err = size(c, "stream-size"); err != nil {
		return nil, err
	}
	if path := c.String("secret"); path != "" {
		if cfg.Secret, err = readSecret(path); err != nil {
			return nil, err
		}
	}
	return cluster.NewHub(cfg)
}

func announceHub(ctx context.Context, p *process, hub *cluster.Hub) error {
	select {
	case <-ctx.Done():
		return nil
	case <-hub.Ready():
	}
	at := hub.Addresses()
	p.log.Info("hub is ready", "client", at.Client, "leaf", at.Leaf)
	p.ask(hub.Fault)
	return p.announce(ports{Client: at.Client, Leaf: at.Leaf, Websocket: at.Websocket})
}
