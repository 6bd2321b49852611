package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// peersFile keeps the peers that were known last: a node starts again with them when its platform cannot name any.
const peersFile = "peers.json"

// discovery knows the peers of a node. What an adapter says is taken at once when it adds, and after a while when it takes away.
type discovery struct {
	adapter  Adapter
	store    *store
	own      string // address of this node in its cluster; "": it is in none
	founders int
	forget   time.Duration // a peer must have been missing for so long to be dropped
	log      *slog.Logger

	mu      sync.Mutex           // guards what follows
	known   Peers                // Routes sorted
	missing map[string]time.Time // routes and leaves, since when the platform does not name them
	fault   error                // of the last answer
}

func newDiscovery(cfg NodeConfig, s *store, own string, founders int) *discovery {
	return &discovery{adapter: cfg.Adapter, store: s, own: own, founders: founders, forget: cfg.ForgetAfter, log: cfg.Logger, missing: map[string]time.Time{}}
}

// recall takes the peers of the last run.
func (d *discovery) recall() error {
	path := filepath.Join(d.store.dir, peersFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var last Peers
	if err == nil {
		err = json.Unmarshal(data, &last)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w: delete it, the platform will name the peers", path, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = last
	return nil
}

// look asks the platform. It reports whether the peers have changed, and keeps them for the next start if so. linked tells the routes that are up: they are not dropped.
func (d *discovery) look(ctx context.Context, linked func(address string) bool) (changed bool, err error) {
	found, err := d.adapter.Peers(ctx)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(err)
	if err != nil {
		return false, nil
	}
	next := Peers{Routes: d.routes(found.Routes, linked), Gateways: found.Gateways, Leaves: sorted(d.merge(d.known.Leaves, found.Leaves, noRoute))}
	if slices.Equal(next.Routes, d.known.Routes) && slices.Equal(next.Leaves, d.known.Leaves) && maps.EqualFunc(next.Gateways, d.known.Gateways, slices.Equal) {
		return false, nil
	}
	d.log.Info("peers have changed", "routes", next.Routes, "gateways", next.Gateways, "leaves", next.Leaves, "before", d.known.Routes)
	d.known = next
	return true, d.keep()
}

// note tells the log when discovery begins to fail, with what, and when it works again.
func (d *discovery) note(err error) {
	switch {
	case err != nil && (d.fault == nil || d.fault.Error() != err.Error()):
		d.log.Warn("platform does not name the peers; staying with those that are known", "err", err, "known", d.known.Routes)
	case err == nil && d.fault != nil:
		d.log.Info("platform names the peers again")
	}
	d.fault = err
}

// routes are those of the node's own cluster, its own among them.
func (d *discovery) routes(found []string, linked func(string) bool) []string {
	routes := d.merge(d.known.Routes, found, func(r string) bool { return r == d.own || linked(r) })
	// As many as there are founders: then this node stands among them, under its own address or another.
	if d.own != "" && len(routes) != d.founders {
		routes[d.own] = true
	}
	return sorted(routes)
}

// merge adds to what the platform names the peers that have not been missing for long, or are to be kept.
func (d *discovery) merge(known, found []string, keep func(string) bool) map[string]bool {
	all := map[string]bool{}
	for _, r := range found {
		all[r] = true
		delete(d.missing, r)
	}
	for _, r := range known {
		if all[r] {
			continue
		}
		if d.missing[r].IsZero() {
			d.missing[r] = time.Now()
		}
		if time.Since(d.missing[r]) < d.forget || keep(r) {
			all[r] = true
		} else {
			delete(d.missing, r)
		}
	}
	return all
}

func (d *discovery) keep() error {
	data, err := json.MarshalIndent(d.known, "", "  ")
	if err != nil {
		return fmt.Errorf("encode peers: %w", err)
	}
	return writeFile(filepath.Join(d.store.dir, peersFile), append(data, '\n'))
}

func (d *discovery) peers() Peers {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known
}

// failing is why the platform does not name peers, or nil.
func (d *discovery) failing() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

func sorted(set map[string]bool) []string { return sortedKeys(set) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
