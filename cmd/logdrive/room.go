package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/logdrive/logdrive/shipper/checkpoint"
)

// roomRetry is the pause before a full disk is tried again.
const roomRetry = 5 * time.Second

// open opens what the agent needs of its state directory. On a full disk it tries on until there is room: the files wait, and whoever frees space should not have to
// start agents as well. With --once it gives up. Without an error, it leaves no store when ctx ends before.
func (s *shipment) open(ctx context.Context) error {
	for {
		err := s.openState()
		if err == nil || !noRoom(err) || s.c.Bool("once") {
			return err
		}
		s.p.log.Error("cannot start yet, nothing is shipped; trying on", "state", s.state, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(roomRetry):
		}
	}
}

func (s *shipment) openState() (err error) {
	store, err := checkpoint.Open(s.state, s.host, s.p.log)
	if err != nil {
		return err
	}
	if s.c.Bool("hold") {
		err = os.MkdirAll(s.holdDir(), 0o700)
	}
	if err == nil {
		s.spool, err = s.openSpool()
	}
	if err != nil {
		return errors.Join(err, store.Close())
	}
	s.store = store
	return nil
}

func (a *agent) holdDir() string { return filepath.Join(a.state, "hold") }

// noRoom reports whether a disk is full, or takes nothing for another reason that may pass.
func noRoom(err error) bool {
	return errors.Is(err, checkpoint.ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS)
}
