package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

// host is the name the agents of all scenarios go by.
const host = "bench"

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "measure logdrive on this machine and print one table",
		Description: "Builds logdrive and runs hub, receivers and agents as processes over loopback. Every scenario ends by checking that each line arrived\n" +
			"once, whole and in order; a figure of a run that fails this is an error, not a figure.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "64 MiB and 3 s instead of 1 GiB and 30 s, to see that all works"},
			&cli.StringFlag{Name: "only", Usage: "only scenarios whose name holds this `WORD`"},
			&cli.IntFlag{Name: "repeat", Value: 1, Usage: "catch up so often and print the median"},
			&cli.StringFlag{Name: "binary", Usage: "logdrive `FILE` to measure (default: build it)"},
			&cli.StringFlag{Name: "dir", Usage: "make the temporary directory in this `DIR`, on the disk to be measured"},
			&cli.BoolFlag{Name: "list", Usage: "print the names of the scenarios"},
		},
		Action: run,
	}
}

// benchmark is what all scenarios share.
type benchmark struct {
	binary  string
	dir     string // removed at the end
	bytes   int64  // to catch up with
	seconds int    // of steady load
	warmup  time.Duration
	repeat  int
	idle    int           // files
	moves   int           // rounds of kills and planned moves
	limit   time.Duration // of one measurement
	notes   io.Writer     // what is going on
	corpora map[string]*corpus
}

func run(c *cli.Context) error {
	b := benchmark{
		binary: c.String("binary"), bytes: 1 << 30, seconds: 30, warmup: 3 * time.Second, repeat: max(1, c.Int("repeat")), idle: 20000, moves: 5, limit: 5 * time.Minute,
		notes: os.Stderr, corpora: map[string]*corpus{},
	}
	if c.Bool("quick") {
		b.bytes, b.seconds, b.warmup, b.idle, b.moves, b.limit = 64<<20, 3, time.Second, 2000, 1, time.Minute
	}
	chosen := b.chosen(c.String("only"))
	if c.Bool("list") || len(chosen) == 0 {
		return b.list(c.App.Writer, len(chosen))
	}
	dir, err := os.MkdirTemp(c.String("dir"), "logdrive-bench-")
	if err != nil {
		return fmt.Errorf("make a place to work: %w", err)
	}
	defer os.RemoveAll(dir)
	b.dir = dir
	if err := b.build(c.Context); err != nil {
		return err
	}
	return b.runAll(c.Context, chosen, c.App.Writer)
}

func (b *benchmark) list(w io.Writer, chosen int) error {
	for _, s := range b.scenarios() {
		fmt.Fprintln(w, s.name)
	}
	if chosen == 0 {
		return errors.New("no scenario has such a name")
	}
	return nil
}

// build makes the binary that is measured, unless one was given.
func (b *benchmark) build(ctx context.Context) error {
	if b.binary != "" {
		return nil
	}
	b.binary = filepath.Join(b.dir, "logdrive")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "github.com/logdrive/logdrive/cmd/logdrive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build logdrive: %w\n%s", err, out)
	}
	return nil
}

// scenario is one row of the table.
type scenario struct {
	name  string
	limit time.Duration
	run   func(context.Context, *table) error
}

func (b *benchmark) scenarios() []scenario {
	all := []scenario{{"machine", b.limit, b.machine}}
	for _, k := range append(catches(), catchesOfMany()...) {
		all = append(all, b.catchUp(k))
	}
	for _, rate := range []int{10_000, 20_000} {
		all = append(all, b.steady(rate, "zstd"), b.steady(rate, "s2"))
	}
	return append(all, b.idleFiles(), b.failover(), b.failoverHub())
}

func (b *benchmark) chosen(word string) []scenario {
	var out []scenario
	for _, s := range b.scenarios() {
		if strings.Contains(s.name, word) {
			out = append(out, s)
		}
	}
	return out
}

// runAll goes on after a scenario has failed: the table shows what there is, the error the rest.
func (b *benchmark) runAll(ctx context.Context, chosen []scenario, w io.Writer) error {
	var t table
	var errs []error
	for _, s := range chosen {
		fmt.Fprintf(b.notes, "%s %s\n", time.Now().Format(time.TimeOnly), s.name)
		limited, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("not done after %s", s.limit))
		if err := s.run(limited, &t); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
			fmt.Fprintf(b.notes, "  %v\n", err)
		}
		cancel()
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(t.print(w), errors.Join(errs...))
}

// fleet starts hub and receiver as the config says in a directory of their own, which clean removes with all that runs.
func (b *benchmark) fleet(ctx context.Context, cfg fleet.Config) (f *fleet.Fleet, clean func(), err error) {
	dir, err := os.MkdirTemp(b.dir, "fleet-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a place to work: %w", err)
	}
	cfg.Binary, cfg.Dir = b.binary, dir
	f, err = fleet.Start(ctx, cfg)
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	return f, func() {
		f.Kill() // what was not stopped before
		os.RemoveAll(dir)
	}, nil
}
