package shipper

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// state is what /readyz tells of an agent. Several goroutines write it.
type state struct {
	mu        sync.Mutex
	linked    bool      // hello was answered, and publishing has gone on since
	behind    int64     // bytes not acknowledged
	progress  time.Time // when something was last acknowledged, or nothing was behind
	saveErr   error     // of the last checkpoint
	waiting   int       // files that wait because the host has too many
	complaint string    // what the log last said that keeps the agent from shipping
	said      time.Time // and when
}

func newState() *state { return &state{progress: time.Now()} }

func (s *state) reached(ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.linked = ok
}

func (s *state) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = time.Now()
}

func (s *state) saved(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saveErr = err
}

func (s *state) refused(files int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = files
}

func (s *state) pending(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = bytes
	if bytes == 0 {
		s.progress = time.Now()
	}
}

// isNews reports whether a complaint is another than the last one, or that one is ten seconds old.
func (s *state) isNews(complaint string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if complaint == s.complaint && time.Since(s.said) < 10*time.Second {
		return false
	}
	s.complaint, s.said = complaint, time.Now()
	return true
}

// Ready is nil while the agent does its work, else what keeps it from that.
func (s *Shipper) Ready() error {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	var errs []error
	if !s.state.linked {
		errs = append(errs, errors.New("the hub does not answer"))
	}
	if stuck := time.Since(s.state.progress); stuck > s.cfg.StuckAfter {
		errs = append(errs, fmt.Errorf("%d bytes wait and none was acknowledged for %s", s.state.behind, stuck.Round(time.Second)))
	}
	if s.state.saveErr != nil {
		errs = append(errs, s.state.saveErr)
	}
	if s.state.waiting > 0 {
		errs = append(errs, fmt.Errorf("%d files wait: too many for one host", s.state.waiting))
	}
	return errors.Join(errs...)
}

// complain logs what keeps the agent from shipping, but not the same again and again.
func (s *Shipper) complain(message string, err error) {
	if !s.state.isNews(err.Error()) {
		return
	}
	if s.cfg.Explain != nil {
		if why := s.cfg.Explain(); why != "" {
			err = fmt.Errorf("%w: %s", err, why)
		}
	}
	s.cfg.Logger.Warn(message, "err", err)
}

// Pending is how many bytes are known that the hub has not acknowledged.
func (s *Shipper) Pending() int64 {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.behind
}
