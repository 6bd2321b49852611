package shipper

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/tail"
)

// Config says how to ship. Start from [DefaultConfig].
type Config struct {
	Host    string // as the archive shall know this machine
	Writer  string // id of the state directory
	Session string // id of this process, the last part of its leaf's name
	Codec   string // of payloads: wire.CodecZstd, CodecS2 or CodecNone
	Once    bool   // end when everything that was there is acknowledged
	Hold    bool   // the tailer holds files until they are archived: ask the hub what is

	BatchBytes    int // raw bytes a batch is filled to while the hub takes them as fast as they come
	MaxBatchBytes int // and at most, while encoded ones wait
	Encoders      int // goroutines that compress
	KeepSources   int // finished sources are remembered while the host has no more than this
	TableBytes    int // most that the host's table may take; all of wire.MaxTable by default

	AckTimeout       time.Duration // after which a publish or hello is tried again the first time; doubling
	MaxAckTimeout    time.Duration // longest wait for an answer
	Pace             time.Duration // a batch leaves no sooner after the one before, unless files are busy
	PaceBytes        int           // raw bytes a Pace above which they are
	RetryMin         time.Duration // first pause after a refusal, doubling with jitter
	RetryMax         time.Duration // longest pause
	ConflictPatience time.Duration // how long another agent of this host may be seen before that is an error
	DrainTimeout     time.Duration // for what is in flight when Run is told to end
	SaveEvery        time.Duration // between checkpoints, and between looks for finished sources
	StuckAfter       time.Duration // pending bytes and no progress for this long: not ready

	Shipped func(tail.Generation) // told of each generation that has ended and that the hub has to its end, more than once and beside the shipping; nil: nobody is
	Explain func() string         // why the hub is out of reach, as the leaf knows it; "" if it does not. nil: nobody knows
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// DefaultConfig returns a configuration that lacks only Host, Writer and Session.
func DefaultConfig() Config {
	return Config{
		Codec:            wire.CodecS2,
		BatchBytes:       1 << 20,
		MaxBatchBytes:    4 << 20,
		Encoders:         2,
		KeepSources:      10_000,
		TableBytes:       wire.MaxTable,
		AckTimeout:       time.Second, // a leaf that has just been linked may lose an answer: the hub does not know its inboxes yet
		MaxAckTimeout:    10 * time.Second,
		Pace:             12 * time.Millisecond,
		PaceBytes:        36 << 10,
		RetryMin:         50 * time.Millisecond,
		RetryMax:         2 * time.Second,
		ConflictPatience: 30 * time.Second,
		DrainTimeout:     5 * time.Second,
		SaveEvery:        time.Second,
		StuckAfter:       30 * time.Second,
		Logger:           slog.New(slog.DiscardHandler),
	}
}

// Validate lists every fault of the configuration.
func (c Config) Validate() error {
	errs := []error{wire.ValidHost(c.Host)}
	if c.Writer == "" || c.Session == "" {
		errs = append(errs, errors.New("writer and session: must not be empty"))
	}
	if _, err := wire.NewEncoder(c.Codec); err != nil {
		errs = append(errs, err)
	}
	if c.BatchBytes < 1 || c.MaxBatchBytes < c.BatchBytes || c.MaxBatchBytes > wire.MaxPayload-wire.MaxHeaders {
		errs = append(errs, fmt.Errorf("batch bytes %d and at most %d: must ascend and stay below %d", c.BatchBytes, c.MaxBatchBytes, wire.MaxPayload-wire.MaxHeaders))
	}
	if c.Encoders < 1 {
		errs = append(errs, fmt.Errorf("encoders %d: must be 1 or more", c.Encoders))
	}
	if c.KeepSources < 1 || c.TableBytes < 1 || c.TableBytes > wire.MaxTable {
		errs = append(errs, fmt.Errorf("keep sources %d, table bytes %d: must be 1 or more, and a table at most %d", c.KeepSources, c.TableBytes, wire.MaxTable))
	}
	if c.AckTimeout <= 0 || c.MaxAckTimeout < c.AckTimeout || c.RetryMin <= 0 || c.RetryMax < c.RetryMin || c.SaveEvery <= 0 {
		errs = append(errs, errors.New("time-outs and pauses: must be positive"))
	}
	return errors.Join(errs...)
}
