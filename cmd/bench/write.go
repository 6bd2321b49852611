package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

func writeCommand() *cli.Command {
	return &cli.Command{
		Name:      "write",
		Usage:     "append numbered log lines to files",
		ArgsUsage: "FILE (or DIR with --files)",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "combined", Usage: "combined (about 200 bytes a line) or json (about 350)"},
			&cli.StringFlag{Name: "host", Value: "bench", Usage: "host in the mark of each line"},
			&cli.StringFlag{Name: "bytes", Usage: "stop after so many bytes, such as 1GiB"},
			&cli.Uint64Flag{Name: "lines", Usage: "stop after so many lines"},
			&cli.DurationFlag{Name: "duration", Usage: "stop after that time"},
			&cli.Float64Flag{Name: "rate", Usage: "lines a second, one write each (default: full speed, in blocks)"},
			&cli.IntFlag{Name: "files", Value: 1, Usage: "spread the lines over so many files"},
			&cli.DurationFlag{Name: "rotate-every", Usage: "rotate each file that often"},
			&cli.StringFlag{Name: "rotation", Value: "rename", Usage: "rename or copytruncate"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "the same seed gives the same text"},
			&cli.StringFlag{Name: "manifest", Usage: "write what was written to this JSON file, for check"},
		},
		Action: write,
	}
}

func write(c *cli.Context) error {
	l, err := loadOf(c)
	if err != nil {
		return err
	}
	begun := time.Now()
	all, err := l.run(c.Context)
	if name := c.String("manifest"); name != "" {
		err = errors.Join(err, writeManifest(name, all))
	}
	var count uint64
	var bytes int64
	for _, w := range all {
		count, bytes = count+w.Lines, bytes+w.Bytes
	}
	took := time.Since(begun)
	fmt.Fprintf(os.Stderr, "wrote %s lines, %s to %d files in %s (%.0f lines/s, %.1f MiB/s)\n", humanize.Comma(int64(count)), humanize.IBytes(uint64(bytes)),
		len(all), took.Round(time.Millisecond), float64(count)/took.Seconds(), float64(bytes)/(1<<20)/took.Seconds())
	return err
}

func loadOf(c *cli.Context) (load, error) {
	l := load{
		Host: c.String("host"), Seed: c.Uint64("seed"), Rate: c.Float64("rate"), Lines: c.Uint64("lines"),
		Duration: c.Duration("duration"), RotateEvery: c.Duration("rotate-every"),
	}
	var errs [4]error
	l.Format, errs[0] = lines.ParseFormat(c.String("format"))
	l.Rotation, errs[1] = lines.ParseRotation(c.String("rotation"))
	l.Bytes, errs[2] = parseBytes(c.String("bytes"))
	l.Paths, errs[3] = logPaths(c.Args().Slice(), c.Int("files"))
	return l, errors.Join(errs[:]...)
}

// parseBytes reads a size such as 1GiB; empty is 0.
func parseBytes(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("size %q: want a number with a unit, such as 512MiB", s)
	}
	return int64(n), nil
}

func logPaths(args []string, files int) ([]string, error) {
	if len(args) != 1 || files < 1 {
		return nil, errors.New("want one FILE, or one DIR and --files of 1 or more")
	}
	path, err := filepath.Abs(args[0])
	if err != nil {
		return nil, err
	}
	if files == 1 {
		return []string{path}, nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	return numberedPaths(path, "app", files), nil
}
