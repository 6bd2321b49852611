package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startStep is how often a starting server is asked whether it serves.
const startStep = 50 * time.Millisecond

// fatalError is the cause of a context that the server itself ended.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

// startServer starts an embedded server and waits until it serves, ctx ends, or the server says that it cannot: after a fatal error it
// returns from Start all the same and would run by halves.
func startServer(ctx context.Context, s *server.Server, log *serverLog) error {
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	for ctx.Err() == nil && !s.ReadyForConnections(startStep) {
	}
	if ctx.Err() != nil {
		stopServer(s, log.log)
		return context.Cause(ctx)
	}
	return nil
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
