package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/logdrive/logdrive/cluster"
)

// Adapter answers for one instance.
type Adapter struct {
	cfg  Config
	log  *slog.Logger
	imds metadata
	now  func() time.Time // for its monotonic part only

	announced   string // owned by Ending: the last end that it told of
	recommended bool   // owned by Ending

	mu     sync.Mutex // held through Self, Peers and Report: what they write to the row comes in the order in which it was said
	aws    awssdk.Config
	id     *identity // nil until it is known
	table  *table
	group  *group // nil without an Auto Scaling group
	others watch
}

// New checks the config and reads the SDK's; it asks AWS nothing.
func New(cfg Config) (*Adapter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	sdk := awssdk.Config{}
	if cfg.AWS != nil {
		sdk = cfg.AWS.Copy()
	}
	if cfg.AWS == nil {
		var err error
		if sdk, err = config.LoadDefaultConfig(context.Background()); err != nil {
			return nil, fmt.Errorf("aws: read the SDK's config: %w", err)
		}
	}
	if sdk.Credentials == nil { // requests would go out without a signature
		return nil, errors.New("aws: the config of the SDK has no credentials")
	}
	log := cfg.Logger.With("component", "aws")
	return &Adapter{
		cfg: cfg, log: log, aws: sdk, imds: newMetadata(sdk, cfg.Endpoints.Metadata), now: time.Now,
		others: watch{deadAfter: cfg.DeadAfter, rows: map[string]*sighting{}},
	}, nil
}

// Self is this instance as its metadata has it. It writes nothing.
func (a *Adapter) Self(ctx context.Context) (cluster.Self, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	if err := a.identify(ctx); err != nil {
		return cluster.Self{}, fmt.Errorf("aws: %w", err)
	}
	return cluster.Self{Name: a.id.name, Host: a.id.host, Nodes: a.cfg.Nodes, Region: a.id.region, Zone: a.id.zone}, nil
}

// Peers first writes that this node lives, then reads who else does: of nodes that start together each is seen by all. It is an error
// until every row that was there at first has changed, or has not changed for as long as makes a node dead.
func (a *Adapter) Peers(ctx context.Context) (cluster.Peers, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	rows, err := a.exchange(ctx)
	if err != nil {
		a.others.blind()
		return cluster.Peers{}, fmt.Errorf("aws: %w", err)
	}
	a.others.look(rows, a.id.name, a.now())
	a.forget(ctx)
	live, err := a.others.live()
	if err != nil {
		return cluster.Peers{}, fmt.Errorf("aws: %w", err)
	}
	return cluster.Peers{Routes: append([]string{a.table.address}, live...)}, nil
}

// exchange writes the own row, then reads all.
func (a *Adapter) exchange(ctx context.Context) ([]row, error) {
	if err := a.identify(ctx); err != nil {
		return nil, err
	}
	if err := a.table.beat(ctx); err != nil {
		return nil, err
	}
	return a.table.rows(ctx)
}

// forget deletes rows of nodes that were dead for long. That it fails harms nobody: the table's TTL does the same later.
func (a *Adapter) forget(ctx context.Context) {
	for _, r := range a.others.dead(a.cfg.ForgetAfter) {
		removed, err := a.table.remove(ctx, r)
		if err != nil {
			a.log.Warn("row of a dead node stays", "peer", r.name, "err", err)
		}
		if removed {
			a.log.Info("dead node is forgotten", "peer", r.name, "state", r.state, "reason", r.reason)
		}
	}
}

// identify asks the instance's metadata once, and makes what depends on it.
func (a *Adapter) identify(ctx context.Context) error {
	if a.id != nil {
		return nil
	}
	id, err := a.imds.identify(ctx, a.cfg)
	if err != nil {
		return err
	}
	if a.aws.Region == "" {
		a.aws.Region = id.region
	}
	a.table = newTable(a.aws, a.cfg, id)
	if a.cfg.Group != "" {
		a.group = newGroup(a.aws, a.cfg, id, a.imds, a.log)
	}
	a.id = &id
	return nil
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
