package receiver

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// health is what /readyz tells of one partition. Several goroutines write it.
type health struct {
	mu    sync.Mutex
	err   error
	since time.Time // of the first fault of a row
}

func newHealth() *health { return &health{} }

func (h *health) fault(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.since = time.Now()
	}
	h.err = err
}

// working says that a message was appended or a commit made.
func (h *health) working() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = nil
}

func (h *health) report(after time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil || time.Since(h.since) < after {
		return nil
	}
	return fmt.Errorf("for %s: %w", time.Since(h.since).Round(time.Second), h.err)
}

// Ready is nil while every partition that is this receiver's to archive is archived, else what keeps it from that.
func (r *Receiver) Ready() error {
	s := r.session.Load()
	if s == nil {
		return errors.New("the hub is not reached yet")
	}
	var errs []error
	for _, h := range s.healths {
		errs = append(errs, h.report(r.cfg.StuckAfter))
	}
	return errors.Join(errs...)
}
