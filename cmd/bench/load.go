package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

const (
	blockBytes = 64 << 10         // of one write at full speed
	pace       = time.Millisecond // how often lines that are due are written
)

// load is a way of writing logs: which lines, how many, how fast, into which files.
type load struct {
	Host   string
	Format lines.Format
	Seed   uint64
	Paths  []string // one origin each

	Bytes    int64         // stop after so many bytes; 0: no limit
	Lines    uint64        // stop after so many lines; 0: no limit
	Duration time.Duration // stop after that time; 0: no limit
	Rate     float64       // lines a second, one write each; 0: full speed, in blocks

	RotateEvery time.Duration // 0: never
	Rotation    lines.Rotation
}

// written says what a load wrote under one origin; a list of them is the manifest that check compares with.
type written struct {
	Origin string `json:"origin"`
	Path   string `json:"path"`
	Lines  uint64 `json:"lines"`
	Bytes  int64  `json:"bytes"`
}

// numberedPaths names n files in dir, each by name and a number.
func numberedPaths(dir, name string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = filepath.Join(dir, fmt.Sprintf("%s-%05d.log", name, i))
	}
	return out
}

// run writes until a limit is reached or ctx ends, and tells what was written even if it fails.
func (l load) run(ctx context.Context) ([]written, error) {
	writers, err := l.open()
	if err == nil {
		err = l.write(ctx, writers)
	}
	var out []written
	for _, w := range writers {
		out = append(out, written{Origin: w.Origin(), Path: w.Path(), Lines: w.Lines(), Bytes: w.Bytes()})
		if closeErr := w.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("close log: %w", closeErr)
		}
	}
	return out, err
}

func (l load) open() ([]*lines.Writer, error) {
	var writers []*lines.Writer
	for i, path := range l.Paths {
		origin := fmt.Sprintf("%s:%s", l.Host, filepath.Base(path))
		m, err := lines.NewMaker(lines.Config{Origin: origin, Format: l.Format, Seed: l.Seed + uint64(i)})
		if err != nil {
			return writers, err
		}
		w, err := lines.OpenWriter(path, m)
		if err != nil {
			return writers, err
		}
		writers = append(writers, w)
	}
	return writers, nil
}

func (l load) write(ctx context.Context, writers []*lines.Writer) error {
	s := stint{load: l, writers: writers, begun: time.Now()}
	s.rotated = s.begun
	for ctx.Err() == nil && !s.done() {
		if err := s.step(); err != nil {
			return err
		}
	}
	return nil
}

// stint is one run of a load: the writers take turns.
type stint struct {
	load
	writers []*lines.Writer
	begun   time.Time
	rotated time.Time
	turn    int
	lines   uint64
	bytes   int64
}

func (s *stint) done() bool {
	return s.Bytes > 0 && s.bytes >= s.Bytes || s.Lines > 0 && s.lines >= s.Lines || s.Duration > 0 && time.Since(s.begun) >= s.Duration
}

func (s *stint) step() error {
	if s.RotateEvery > 0 && time.Since(s.rotated) >= s.RotateEvery {
		s.rotated = time.Now()
		for _, w := range s.writers {
			if err := w.Rotate(s.Rotation); err != nil {
				return err
			}
		}
	}
	if s.Rate == 0 {
		return s.put(func(w *lines.Writer) error { return w.Block(s.blockSize()) })
	}
	due := uint64(s.Rate * time.Since(s.begun).Seconds())
	for s.lines < due && (s.Lines == 0 || s.lines < s.Lines) {
		if err := s.put((*lines.Writer).Line); err != nil {
			return err
		}
	}
	time.Sleep(pace)
	return nil
}

// blockSize makes the last block end soon after the limit.
func (s *stint) blockSize() int {
	switch {
	case s.Lines > 0:
		return 1 // a line at a time: the number is exact
	case s.Bytes > 0:
		return int(min(blockBytes, s.Bytes-s.bytes))
	}
	return blockBytes
}

func (s *stint) put(write func(*lines.Writer) error) error {
	w := s.writers[s.turn]
	s.turn = (s.turn + 1) % len(s.writers)
	bytes, count := w.Bytes(), w.Lines()
	if err := write(w); err != nil {
		return err
	}
	s.bytes += w.Bytes() - bytes
	s.lines += w.Lines() - count
	return nil
}

func writeManifest(path string, all []written) error {
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

func readManifest(path string) ([]written, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	var all []written
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", path, err)
	}
	return all, nil
}
