package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/lines"
)

// corpus is logs that stand there to be caught up with.
type corpus struct {
	dir   string
	wrote []written
	bytes int64
	lines uint64
}

// corpus makes the logs of a format, spread over so many files, once for all scenarios.
func (b *benchmark) corpus(ctx context.Context, format lines.Format, files int) (*corpus, error) {
	name := fmt.Sprintf("%s-%d", format, files)
	if c := b.corpora[name]; c != nil {
		return c, nil
	}
	c := &corpus{dir: filepath.Join(b.dir, "logs-"+name)}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make logs: %w", err)
	}
	l := load{Host: host, Format: format, Seed: 1, Paths: numberedPaths(c.dir, "app", files), Bytes: b.bytes}
	wrote, err := l.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("make logs: %w", err)
	}
	c.wrote = wrote
	for _, w := range wrote {
		c.bytes, c.lines = c.bytes+w.Bytes, c.lines+w.Lines
	}
	b.corpora[name] = c
	return c, nil
}

// verify checks every line of a fleet's archive and, against the files in dir, every byte.
func verify(f *fleet.Fleet, wrote []written, dir string) error {
	return verifyArchives([]string{f.Archive()}, wrote, dir)
}

// verifyArchives does that over archives that belong together.
func verifyArchives(archives []string, wrote []written, paths ...string) (err error) {
	all, done, err := openArchives(archives)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	var checker lines.Checker
	for _, w := range wrote {
		checker.Expect(w.Origin, w.Lines)
	}
	for _, s := range all {
		if err := readInto(&checker, s); err != nil {
			return err
		}
	}
	if err := checker.Report().Err(); err != nil {
		return fmt.Errorf("%w: %w", errFaults, err)
	}
	verdicts, err := compareAll(all, paths)
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		if v.Fault != "" {
			return fmt.Errorf("%w: %s %s", errFaults, v.Source, v.Fault)
		}
	}
	return nil
}
