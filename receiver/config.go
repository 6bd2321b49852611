package receiver

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says how to archive. Start from [DefaultConfig].
type Config struct {
	CommitBytes   int64         // raw bytes after which what was appended is committed
	CommitEvery   time.Duration // and the longest a byte waits for that
	MaxUncommited int64         // raw bytes appended and not committed at which appending pauses
	FloorBytes    int64         // raw bytes after which the floor is moved
	FloorEvery    time.Duration // and the longest a commit waits for that while more keeps coming

	PullBytes int // of messages asked for ahead, by partition

	TableBatches int           // batches of a host after which its table is written
	TableEvery   time.Duration // and the longest a change waits for that
	Lookback     time.Duration // archived messages stay in the hub this long, if there is room
	HighWater    float64       // share of a stream's size above which archived messages are purged, whatever their age
	KeepEvery    time.Duration // between looks at the streams

	Name       string        // what people call this receiver
	Zone       string        // where it runs; "" = not said
	Lease      time.Duration // how long a receiver that died counts as alive, and as coordinator; the first of a fleet decides
	RetryMin   time.Duration // first pause after a fault, doubling
	RetryMax   time.Duration // longest pause
	StuckAfter time.Duration // a fault that lasts this long makes the receiver not ready
	DrainTime  time.Duration // for the last commit when Run is told to end

	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// DefaultConfig returns a configuration that can be used as it is.
func DefaultConfig() Config {
	return Config{
		CommitBytes:   8 << 20,
		CommitEvery:   50 * time.Millisecond,
		MaxUncommited: 64 << 20,
		FloorBytes:    64 << 20,
		FloorEvery:    250 * time.Millisecond,
		PullBytes:     16 << 20,
		TableBatches:  256,
		TableEvery:    time.Minute,
		Lookback:      24 * time.Hour,
		HighWater:     0.7,
		KeepEvery:     time.Second,
		Lease:         2 * time.Second,
		RetryMin:      100 * time.Millisecond,
		RetryMax:      5 * time.Second,
		StuckAfter:    10 * time.Second,
		DrainTime:     10 * time.Second,
		Logger:        slog.New(slog.DiscardHandler),
	}
}

// Validate lists every fault of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.CommitBytes <= 0 || c.FloorBytes <= 0 || c.MaxUncommited < c.CommitBytes || c.PullBytes <= 0 {
		errs = append(errs, errors.New("commit, floor and pull bytes: must be positive"))
	}
	for _, d := range []time.Duration{c.CommitEvery, c.FloorEvery, c.TableEvery, c.KeepEvery, c.Lease, c.RetryMin, c.RetryMax, c.DrainTime} {
		if d <= 0 {
			errs = append(errs, errors.New("times: must be positive"))
			break
		}
	}
	if c.Lookback < 0 {
		errs = append(errs, errors.New("lookback: must not be negative"))
	}
	if c.HighWater <= 0 || c.HighWater >= 1 {
		errs = append(errs, errors.New("high water: must lie between 0 and 1"))
	}
	return errors.Join(errs...)
}
