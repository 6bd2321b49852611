package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/wire"
)

func upCommand() *cli.Command {
	return &cli.Command{
		Name:      "up",
		Usage:     "hub, receiver and agent in one process on one machine: the quick start",
		ArgsUsage: "PATH...   files, directories or quoted globs such as '/var/log/**/*.log'",
		Flags: join(commonFlags(), archiveFlags(), memberFlags(), agentFlags(), []cli.Flag{
			text("listen", "127.0.0.1:0", "where receivers could connect"),
			text("leaf-listen", "127.0.0.1:0", "where other agents of this machine could connect"),
			number("partitions", 0, "shares the hosts are divided into, when the hub is founded (8)"),
			text("stream-size", "1GiB", "size of one partition's stream, when the hub is founded"),
		}),
		Action: runUp,
	}
}

func runUp(c *cli.Context) error {
	paths, err := pathsToShip(c)
	if err != nil {
		return err
	}
	if err := checkMember(c); err != nil {
		return err
	}
	p, err := newProcess(c)
	if err != nil {
		return err
	}
	state, err := absolute(c.String("state"))
	if err != nil {
		return err
	}
	hub, err := newHub(c, p, filepath.Join(state, "hub"))
	if err != nil {
		return err
	}
	u := up{c: c, p: p, hub: hub, state: state, paths: paths}
	return u.run(c.Context)
}

// up joins the three parts in one process. They end in the order of the bytes: first the agent, then the receiver, then the hub.
type up struct {
	c     *cli.Context
	p     *process
	hub   *cluster.Hub
	state string
	paths []string
}

func (u *up) run(ctx context.Context) error {
	group, inner := errgroup.WithContext(context.WithoutCancel(ctx))
	hubLife, endHub := context.WithCancel(inner)
	receiverLife, endReceiver := context.WithCancel(inner)
	agentLife, endAgent := context.WithCancel(inner)
	defer endAgent()
	defer context.AfterFunc(ctx, endAgent)()
	group.Go(func() error { return u.p.serve(hubLife) })
	group.Go(func() error { return u.hub.Run(hubLife) })
	group.Go(func() error {
		defer endHub()
		if !await(receiverLife, u.hub.Ready()) {
			return nil
		}
		nc, err := u.hub.Connect()
		if err != nil {
			return err
		}
		return receive(receiverLife, u.c, u.p, nc)
	})
	group.Go(func() error {
		defer endReceiver()
		if !await(agentLife, u.hub.Ready()) {
			return nil
		}
		return u.ship(agentLife)
	})
	return group.Wait()
}

// await reports whether ready came before ctx ended.
func await(ctx context.Context, ready <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-ready:
		return true
	}
}

func (u *up) ship(ctx context.Context) error {
	at := u.hub.Addresses()
	archive, err := absolute(u.c.String("archive"))
	if err != nil {
		return err
	}
	a := agent{
		c: u.c, p: u.p, state: filepath.Join(u.state, "agent"), hubs: []string{at.Leaf}, secret: u.hub.Secret(), paths: u.paths,
		exclude: []string{archive, u.state},
	}
	announce := func() error { return u.p.announce(ports{Client: at.Client, Leaf: at.Leaf}) }
	if err := a.run(ctx, announce); err != nil || !u.c.Bool("once") || ctx.Err() != nil {
		return err
	}
	return u.untilArchived(ctx)
}

// untilArchived waits until the floor covers the chain of this host: what --once promises.
func (u *up) untilArchived(ctx context.Context) error {
	host, err := hostName(u.c.String("host"))
	if err != nil {
		return err
	}
	nc, err := u.hub.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	chain, err := openChain(ctx, nc, host)
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := chain.archived(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// chain is where a host's batches are, as far as the end of the archive can be told from it.
type chain struct {
	bucket jetstream.KeyValue
	record string
	head   uint64
}

func openChain(ctx context.Context, nc *nats.Conn, host string) (*chain, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open the hub's streams: %w", err)
	}
	bucket, err := js.KeyValue(ctx, wire.Bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", wire.Bucket, err)
	}
	var layout wire.Layout
	if err := readKey(ctx, bucket, wire.LayoutKey, &layout); err != nil {
		return nil, err
	}
	partition := wire.Partition(host, layout.Partitions)
	stream, err := js.Stream(ctx, layout.Stream(partition))
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", layout.Stream(partition), err)
	}
	c := &chain{bucket: bucket, record: wire.RecordKey(layout.Number, partition)}
	head, err := stream.GetLastMsgForSubject(ctx, wire.PartSubject(layout.Number, partition, host))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the head of %s: %w", host, err)
	}
	c.head = head.Sequence
	return c, nil
}

// archived reports whether the partition's floor covers the head.
func (c *chain) archived(ctx context.Context) (bool, error) {
	if c.head == 0 {
		return true, nil
	}
	var record struct {
		Floor uint64 `json:"floor"`
	}
	if err := readKey(ctx, c.bucket, c.record, &record); err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, err
	}
	return record.Floor >= c.head, nil
}

func readKey(ctx context.Context, bucket jetstream.KeyValue, key string, v any) error {
	entry, err := bucket.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(entry.Value(), v); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}
