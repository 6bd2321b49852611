package tail

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Config says what to tail and how. Start from [DefaultConfig].
type Config struct {
	// Paths are files (which may not exist yet), directories (everything in
	// them that is readable text and not compressed, recursively) and globs with **.
	Paths []string
	// Exclude are globs, files and directories that are no sources. A rotated name of a source stays its generation: else a rotation would lose bytes.
	Exclude []string
	// Hold links every generation into HoldDir until it is archived.
	Hold    bool
	HoldDir string
	// Once ships what is there and waits for nothing.
	Once bool

	Tick  time.Duration // between looks at a busy file
	Idle  time.Duration // between wake-ups while nothing is busy
	Quiet time.Duration // without growth, after which a file is idle
	Sweep time.Duration // shortest time in which every idle file is looked at once
	Find  time.Duration // between searches for new files where no watch tells of them
	// Patience is how long the successor waits for the unterminated last line
	// of its predecessor, Grace how long an ended generation is read on for late writers.
	Patience time.Duration
	Grace    time.Duration
	// Linger is how long a deleted file without successor is held, for as long its blocks stay in
	// use; and how long a source must be finished before it is forgotten.
	Linger time.Duration

	MaxOpen int // idle files are closed above this many descriptors

	Logger *slog.Logger
}

// DefaultConfig returns a configuration that lacks only Paths.
func DefaultConfig() Config {
	return Config{
		Tick:     5 * time.Millisecond,
		Idle:     200 * time.Millisecond,
		Quiet:    time.Second,
		Sweep:    time.Second,
		Find:     10 * time.Second,
		Patience: time.Second,
		Grace:    10 * time.Second,
		Linger:   time.Minute,
		MaxOpen:  1024,
		Logger:   slog.New(slog.DiscardHandler),
	}
}

// Validate lists every fault of the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Paths) == 0 {
		errs = append(errs, errors.New("paths: none given"))
	}
	for _, p := range c.Paths {
		errs = append(errs, validPattern("path", p))
	}
	for _, p := range c.Exclude {
		errs = append(errs, validPattern("exclude", p))
	}
	if c.Hold && c.HoldDir == "" {
		errs = append(errs, errors.New("hold: no directory for the links"))
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"tick", c.Tick},
		{"idle", c.Idle},
		{"quiet", c.Quiet},
		{"sweep", c.Sweep},
		{"find", c.Find},
		{"patience", c.Patience},
		{"grace", c.Grace},
		{"linger", c.Linger},
	} {
		if d.d <= 0 {
			errs = append(errs, fmt.Errorf("%s: %v is not above zero", d.name, d.d))
		}
	}
	if c.MaxOpen < 8 {
		errs = append(errs, fmt.Errorf("max open: %d is below 8", c.MaxOpen))
	}
	if c.Logger == nil {
		errs = append(errs, errors.New("logger: none given"))
	}
	return errors.Join(errs...)
}

func validPattern(kind, p string) error {
	switch {
	case !filepath.IsAbs(p):
		return fmt.Errorf("%s %q: not absolute", kind, p)
	case !doublestar.ValidatePathPattern(p):
		return fmt.Errorf("%s %q: not a valid glob", kind, p)
	}
	for i := range len(p) {
		if p[i] == 0 {
			return fmt.Errorf("%s %q: holds a NUL", kind, p)
		}
	}
	return nil
}
