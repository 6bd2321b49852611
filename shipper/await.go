package shipper

import (
	"context"
	"fmt"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/tail"
)

// greet says hello, and looks after the files until it is answered: what is rotated away and deleted meanwhile must be open by then, or its bytes are lost.
// Nothing is said of any file and no number given before the answer (rules P4, P7).
func (s *Shipper) greet(ctx context.Context) (wire.Welcome, error) {
	if err := s.await(); err != nil {
		return wire.Welcome{}, fmt.Errorf("look after the files: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var w wire.Welcome
	var err error
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		w, err = s.hello(ctx)
	}()
	observe := time.NewTicker(s.cfg.SaveEvery)
	defer observe.Stop()
	for {
		select {
		case <-answered:
			return w, err
		case <-observe.C:
			s.observe()
		case <-s.tailer.Wake():
			if err := s.tailer.Fill(&tail.Batch{}, tail.Limits{}); err != nil {
				cancel()
				<-answered
				return wire.Welcome{}, fmt.Errorf("look after the files: %w", err)
			}
		}
	}
}

// await makes the tailer look after the files from the start of the agent. Later, after a refusal, it does so anyway.
func (s *Shipper) await() error {
	if s.awaited {
		return nil
	}
	s.awaited = true
	_, remembered, err := s.store.Load()
	if err != nil {
		remembered = nil // once tells; without it only more files are held than need be
	}
	return s.tailer.Await(remembered)
}
