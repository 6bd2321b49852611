package election

import (
	"errors"
	"log/slog"
	"time"
)

// minTTL is the shortest lease: the hub looks for keys that ended at most every 250 ms.
const minTTL = 500 * time.Millisecond

// Config says who competes, and how long a lease holds. Start from [DefaultConfig].
type Config struct {
	// ID says who I am to people and to [Observe]: the key's value carries it. Two that compete under one ID are two all the same.
	ID string

	// TTL is that of the bucket, at least 500 ms and at least twelve round trips to the hub: a renewal may need four of them, and three renewals fit in.
	TTL time.Duration

	Logger *slog.Logger
}

// DefaultConfig returns a configuration that lacks only the ID.
func DefaultConfig() Config {
	return Config{TTL: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

// Validate lists every fault of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.ID == "" {
		errs = append(errs, errors.New("id: missing"))
	}
	if c.TTL < minTTL {
		errs = append(errs, errors.New("ttl: must be at least "+minTTL.String()))
	}
	if c.Logger == nil {
		errs = append(errs, errors.New("logger: missing"))
	}
	return errors.Join(errs...)
}

// The parts of a TTL. Renewals are sent at 0, 1/3, 2/3 …; one that is not answered is given up after 1/4, so that another fits in before 4/5, when the
// lease is left.
func (c Config) renewEvery() time.Duration     { return c.TTL / 3 }
func (c Config) attemptTimeout() time.Duration { return c.TTL / 4 }
func (c Config) leave() time.Duration          { return c.TTL - c.TTL/5 }
func (c Config) retryAfter() time.Duration     { return c.TTL / 20 }
