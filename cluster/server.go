package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// fatalError is the cause of a context that the server itself ended.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

// startServer starts an embedded server and waits until it serves. A server that reports a fatal error while it starts returns from
// Start all the same and would run by halves: it is stopped.
func startServer(opts *server.Options, log *serverLog) (*server.Server, error) {
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var fatal error
	tell := log.fatal
	log.fatal = func(err error) {
		mu.Lock()
		fatal = errors.Join(fatal, err)
		mu.Unlock()
		tell(err)
	}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	ready := s.ReadyForConnections(startTimeout)
	mu.Lock()
	defer mu.Unlock()
	if fatal == nil && !ready {
		fatal = fmt.Errorf("not ready within %v", startTimeout)
	}
	if fatal != nil {
		stopServer(s, log.log)
		return nil, fatal
	}
	return s, nil
}

// stopServer blocks until the server has ended, or until it has had time enough.
func stopServer(s *server.Server, log *slog.Logger) {
	ended := make(chan struct{})
	go func() {
		s.Shutdown()
		s.WaitForShutdown()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		log.Error("nats server did not end in time", "after", stopTimeout)
	}
}

// drain ends a connection: what it has received is handled, what it has sent leaves, then it closes.
func drain(nc *nats.Conn) {
	closed := nc.StatusChanged(nats.CLOSED)
	if err := nc.Drain(); err != nil {
		nc.Close()
	}
	for !nc.IsClosed() {
		<-closed
	}
}

// endOf is the error of Run: the server's own end before whatever failed because of it, and nothing when ctx was ended from outside.
func endOf(ctx context.Context, err error) error {
	var fatal fatalError
	if errors.As(context.Cause(ctx), &fatal) {
		return fmt.Errorf("nats server cannot go on: %w", fatal)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
