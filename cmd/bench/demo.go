package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cmd/bench/demo"
)

const demoLimit = 5 * time.Minute

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "ship log files of this machine, break things, and compare archive and sources",
		ArgsUsage: "[PATH...]   log files (default: those in /var/log that can be read)",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "binary", Usage: "logdrive `FILE` (default: build it)"},
			&cli.BoolFlag{Name: "keep", Usage: "leave the archive where it is and say where"},
		},
		Action: runDemo,
	}
}

func runDemo(c *cli.Context) error {
	dir, err := os.MkdirTemp("", "logdrive-demo-")
	if err != nil {
		return fmt.Errorf("make a place to work: %w", err)
	}
	paths, err := absolutes(c.Args().Slice())
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithTimeoutCause(c.Context, demoLimit, fmt.Errorf("not done after %s", demoLimit))
	defer cancel()
	b := benchmark{binary: c.String("binary"), dir: dir}
	if err = b.build(ctx); err == nil {
		err = demo.Run(ctx, demo.Config{Binary: b.binary, Dir: dir, Paths: paths, Out: c.App.Writer})
	}
	if c.Bool("keep") || errors.Is(err, demo.ErrDiffers) {
		fmt.Fprintf(c.App.Writer, "The archive is kept: %s\n", filepath.Join(dir, "archive"))
		return err
	}
	return errors.Join(err, os.RemoveAll(dir))
}

func absolutes(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(abs); err != nil {
			return nil, err
		}
		out = append(out, abs)
	}
	return out, nil
}
