package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/lines"
)

const (
	busyFiles     = 20
	busyRate      = 2000                 // lines a second over all busy files
	busyEvery     = 1 * time.Millisecond // how often the busy files are looked at
	filesAtOnce   = 500                  // that are open while idle files are made
	settle        = 5 * time.Second      // after everything is archived, until idling is measured
	pathsInOneDir = 1000
)

// idled is one run with many files that nobody writes to, and a few busy ones later.
type idled struct {
	files   int
	took    time.Duration // until all idle files were durable in the archive
	span    time.Duration // of idling
	cost    []cost        // while all files are idle
	busy    []cost        // while the busy ones are written
	spell   time.Duration // of business
	visible latencies
}

func (b *benchmark) idleFiles() scenario {
	name := fmt.Sprintf("idle-%d-files", b.idle)
	return scenario{name, 2 * b.limit, func(ctx context.Context, t *table) error {
		r, err := b.idleOnce(ctx)
		if err != nil {
			return err
		}
		t.idle(name, r)
		return nil
	}}
}

func (b *benchmark) idleOnce(ctx context.Context) (idled, error) {
	r := idled{files: b.idle}
	dir, err := os.MkdirTemp(b.dir, "idle-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	wrote, err := makeIdle(ctx, dir, b.idle)
	if err != nil {
		return r, err
	}
	f, clean, err := b.fleet(ctx, fleet.Config{Codec: "zstd"})
	if err != nil {
		return r, err
	}
	defer clean()
	if err := b.takeUp(ctx, f, dir, wrote, &r); err != nil {
		return r, err
	}
	busy, err := b.business(ctx, f, dir, bytesOf(wrote), &r)
	if err != nil {
		return r, err
	}
	if err := f.Stop(); err != nil {
		return r, err
	}
	return r, verify(f, append(wrote, busy...), dir)
}

// makeIdle makes n files of one line each.
func makeIdle(ctx context.Context, dir string, n int) ([]written, error) {
	var paths []string
	for i := 0; i < n; i += pathsInOneDir {
		sub := filepath.Join(dir, fmt.Sprintf("d%05d", i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			return nil, fmt.Errorf("make idle files: %w", err)
		}
		paths = append(paths, numberedPaths(sub, fmt.Sprintf("idle-%05d", i), min(pathsInOneDir, n-i))...)
	}
	var all []written
	for some := range slices.Chunk(paths, filesAtOnce) {
		wrote, err := load{Host: host, Seed: 1, Paths: some, Lines: uint64(len(some))}.run(ctx)
		if err != nil {
			return nil, fmt.Errorf("make idle files: %w", err)
		}
		all = append(all, wrote...)
	}
	return all, nil
}

// takeUp starts the agent, waits until all files are archived, and measures what they cost when nothing happens.
func (b *benchmark) takeUp(ctx context.Context, f *fleet.Fleet, dir string, wrote []written, r *idled) error {
	w, err := f.Hub.Watch(ctx, host)
	if err != nil {
		return err
	}
	defer w.Close()
	begun := time.Now()
	if err := f.StartAgent(host, dir); err != nil {
		return err
	}
	if err := waitVisible(ctx, f, bytesOf(wrote)); err != nil {
		return err
	}
	if err := waitDurable(ctx, f, w); err != nil {
		return err
	}
	r.took = time.Since(begun)
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	from, before := time.Now(), meter(f)
	if err := sleep(ctx, time.Duration(b.seconds)*time.Second); err != nil {
		return err
	}
	r.span, r.cost = time.Since(from), costs(f, before, meter(f))
	return nil
}

// business writes to a few files, which appear only now, beside the many idle ones.
func (b *benchmark) business(ctx context.Context, f *fleet.Fleet, dir string, standing int64, r *idled) ([]written, error) {
	l := load{Host: host, Format: lines.Combined, Seed: 2, Paths: numberedPaths(dir, "busy", busyFiles), Rate: busyRate, Duration: b.warmup + time.Duration(b.seconds)*time.Second}
	o := observation{fleet: f, every: busyEvery, standing: standing}
	for _, path := range l.Paths {
		o.followers = append(o.followers, &follower{path: inArchive(f, path)})
	}
	if err := o.during(ctx, l, b.warmup); err != nil {
		return nil, err
	}
	r.spell, r.busy = o.to.Sub(o.from), costs(f, o.before, o.after)
	r.visible = visibleLatencies(o.followers, o.from, o.to)
	return o.wrote, nil
}
