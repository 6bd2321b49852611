package archive

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// How segments are compressed after rotation.
const (
	Gzip          = "gzip"
	Zstd          = "zstd"
	Uncompressed  = "none"
	minSegment    = 4 << 10
	minimumOfOpen = 8
)

// Config is everything an archive can be told.
type Config struct {
	Dir          string           // the archive's directory; made when absent
	SegmentBytes int64            // bytes after which a segment is rotated
	SegmentAge   time.Duration    // age of a segment's first byte after which it is rotated
	Compress     string           // what the janitor makes of rotated segments: Gzip, Zstd or Uncompressed
	Retain       time.Duration    // age of a segment's last byte after which the janitor deletes it; 0: never
	MaxOpen      int              // segments held open between writes
	Now          func() time.Time // nil: time.Now
	Logger       *slog.Logger     // nil: silence
}

// DefaultConfig keeps everything; Dir must still be set.
func DefaultConfig() Config {
	return Config{SegmentBytes: 256 << 20, SegmentAge: 24 * time.Hour, Compress: Gzip, MaxOpen: 512}
}

// Validate lists all faults of the configuration.
func (c Config) Validate() error {
	var faults []error
	complain := func(fault bool, format string, args ...any) {
		if fault {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	complain(c.Dir == "", "archive directory is not set")
	complain(c.SegmentBytes < minSegment, "segment size %d: at least %d bytes are needed", c.SegmentBytes, minSegment)
	complain(c.SegmentAge <= 0, "segment age %s: it must be positive", c.SegmentAge)
	complain(c.Compress != Gzip && c.Compress != Zstd && c.Compress != Uncompressed, "compression %q: use gzip, zstd or none", c.Compress)
	complain(c.Retain < 0, "retention %s: it must not be negative", c.Retain)
	complain(c.MaxOpen < minimumOfOpen, "open files %d: at least %d are needed", c.MaxOpen, minimumOfOpen)
	return errors.Join(faults...)
}
