package swarm

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/shipper"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// lookEvery is how often an agent looks at its file.
const lookEvery = 500 * time.Millisecond

// connectWithin is for a connection within the process, which waits for its turn among all the others.
const connectWithin = time.Minute

// connect tries until it succeeds or has failed for that long. Without a connection nor an error, ctx ended.
func connect(ctx context.Context, leaf *cluster.Leaf) (*nats.Conn, error) {
	for begun := time.Now(); ; {
		nc, err := leaf.Connect(nats.Timeout(connectWithin))
		if err == nil || time.Since(begun) > connectWithin {
			return nc, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(lookEvery):
		}
	}
}

// agent ships one file.
type agent struct {
	Config
	number int
}

func (a *agent) run(ctx context.Context) error {
	host, session := Host(a.number), rand.Text()
	store, err := checkpoint.Open(filepath.Join(a.State, host), host, a.Logger)
	if err != nil {
		return err
	}
	defer store.Close()
	leaf, err := cluster.NewLeaf(cluster.LeafConfig{Host: host, Writer: store.Writer(), Session: session, Hubs: []string{a.Hub}, Secret: a.Secret, Logger: a.Logger})
	if err != nil {
		return err
	}
	look := tail.DefaultConfig()
	look.Paths, look.Tick, look.Idle, look.Logger = []string{Log(a.Logs, a.number)}, lookEvery, lookEvery, a.Logger
	tailer, err := tail.New(look)
	if err != nil {
		return err
	}
	defer tailer.Close()
	ship := shipper.DefaultConfig()
	ship.Host, ship.Writer, ship.Session, ship.Codec, ship.Logger = host, store.Writer(), session, a.Codec, a.Logger

	// The leaf outlives the shipper, which ends what is in flight through it.
	group, inner := errgroup.WithContext(context.WithoutCancel(ctx))
	leafLife, endLeaf := context.WithCancel(inner)
	group.Go(func() error { return leaf.Run(leafLife) })
	group.Go(func() error {
		defer endLeaf()
		select {
		case <-leaf.Ready():
		case <-inner.Done():
			return nil
		}
		nc, err := connect(ctx, leaf)
		if err != nil || nc == nil {
			return err
		}
		defer nc.Close()
		s, err := shipper.New(nc, tailer, store, ship)
		if err != nil {
			return err
		}
		return s.Run(ctx)
	})
	return group.Wait()
}
