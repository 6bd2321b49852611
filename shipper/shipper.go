package shipper

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// Shipper carries the bytes of one host's files to the hub.
type Shipper struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	tailer  *tail.Tailer
	store   *checkpoint.Store
	cfg     Config
	metrics *metrics
	state   *state

	number   uint64        // of the last batch
	used     uint64        // highest generation number of sources that the chain has forgotten
	tooLarge int           // raw bytes that the hub once refused; 0: none
	patience *patience     // with the hub
	awaited  bool          // the tailer looks after the files
	saving   atomic.Bool   // a checkpoint is being written
	head     atomic.Uint64 // sequence of the chain's head, as far as acknowledged
	archived chan uint64   // answers to askArchived

	observeAt time.Time // not before this is it looked again how far behind the agent is
}

// New joins the parts of an agent. nc is a connection to the agent's own leaf; the tailer and the store belong to the Shipper from now on, until Run returns.
func New(nc *nats.Conn, tailer *tail.Tailer, store *checkpoint.Store, cfg Config) (*Shipper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("shipper: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("shipper: %w", err)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("shipper: %w", err)
	}
	return &Shipper{
		nc: nc, js: js, tailer: tailer, store: store, cfg: cfg, metrics: m, state: newState(),
		patience: newPatience(cfg.AckTimeout, cfg.MaxAckTimeout), archived: make(chan uint64),
	}, nil
}

// Run ships until ctx ends, or with Once until everything that was there is acknowledged. Its errors are faults that trying again cannot mend:
// ErrConflict, ErrRefused and broken configuration. Everything else it waits out.
func (s *Shipper) Run(ctx context.Context) error {
	for {
		err := s.once(ctx)
		switch {
		case errors.Is(err, errRewind):
			s.metrics.rewound()
			s.cfg.Logger.Info("the chain is not where it was taken to be; asking the hub", "err", err)
		case errors.Is(err, errTooLarge):
			if err := s.shrink(err); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// once says hello, sets every position to what the chain holds, and ships until that is no longer true.
func (s *Shipper) once(ctx context.Context) error {
	w, err := s.greet(ctx)
	if err != nil {
		return err
	}
	chain, remembered, err := s.store.Load()
	if err != nil {
		s.cfg.Logger.Warn("checkpoint cannot be read; positions come from the hub", "err", err)
	}
	s.used = max(s.used, w.Table.Forgotten, chain.Forgotten)
	s.tailer.Used(s.used)
	positions, gone := known(w, chain, remembered)
	if err := s.tailer.Recover(positions); err != nil {
		return fmt.Errorf("find the files again: %w", err)
	}
	s.tellShipped(positions)
	s.number = max(s.number, w.Table.Number)
	s.head.Store(w.Head)
	s.cfg.Logger.Info("joined the chain", "stream", w.Stream, "head", w.Head, "sources", len(w.Table.Sources))
	return s.ship(ctx, w, positions, snapshot{changed: learned(positions, remembered), gone: gone})
}

// shrink halves the batches after the hub refused one for its size. The batch is read again in smaller parts.
func (s *Shipper) shrink(cause error) error {
	const least = 4 << 10
	if s.tooLarge == 0 {
		s.tooLarge = s.cfg.MaxBatchBytes
	}
	s.tooLarge /= 2
	if s.tooLarge < least {
		return fmt.Errorf("even batches of %d bytes are refused; raise the hub's max_payload: %w", least, cause)
	}
	s.cfg.Logger.Warn("hub takes smaller batches only", "max", s.tooLarge, "err", cause)
	return nil
}
