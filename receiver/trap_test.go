package receiver_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

var errKilled = errors.New("killed")

// stops holds a node at named places, as SIGSTOP does, or ends it there, as kill -9 does.
type stops struct {
	mu    sync.Mutex // guards what follows
	dead  chan struct{}
	traps []*trap
}

// trap is one place, in one partition or all, at which whoever comes waits until it is freed.
type trap struct {
	of        *stops
	partition int // -1: any
	where     string
	err       error // what who waited is told
	sprung    chan struct{}
	freed     chan struct{}
	spring    sync.Once
}

func newStops() *stops { return &stops{dead: make(chan struct{})} }

// revive forgets that the process before was killed. Traps that were set since stay.
func (s *stops) revive() func(int, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dead := make(chan struct{})
	s.dead = dead
	return func(partition int, where string) error { return s.at(dead, partition, where) }
}

func (s *stops) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.dead:
	default:
		close(s.dead)
	}
}

func (s *stops) at(dead <-chan struct{}, partition int, where string) error {
	select {
	case <-dead:
		return errKilled
	default:
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.traps, func(t *trap) bool {
		return t.where == where && (t.partition < 0 || t.partition == partition)
	})
	var t *trap
	if i >= 0 {
		t = s.traps[i]
	}
	s.mu.Unlock()
	if t == nil {
		return nil
	}
	t.spring.Do(func() { close(t.sprung) })
	select {
	case <-t.freed:
		return t.err
	case <-dead:
		return errKilled
	}
}

// trap waits for the node at a place.
func (s *stops) trap(partition int, where string) *trap {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &trap{of: s, partition: partition, where: where, sprung: make(chan struct{}), freed: make(chan struct{})}
	s.traps = append(s.traps, t)
	return t
}

// wait until somebody is in the trap.
func (t *trap) wait(tb testing.TB) {
	tb.Helper()
	select {
	case <-t.sprung:
	case <-time.After(clustertest.Patience):
		tb.Fatalf("nobody comes to %q", t.where)
	}
}

// free lets go who is in the trap, and removes it.
func (t *trap) free() { t.fail(nil) }

// fail is free, and tells who is in the trap an error.
func (t *trap) fail(err error) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if i := slices.Index(t.of.traps, t); i >= 0 {
		t.of.traps = slices.Delete(t.of.traps, i, i+1)
		t.err = err
		close(t.freed)
	}
}
