package clustertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Batch is a message of host with the given bytes as one uncompressed chunk of source at offset.
func Batch(host, writer string, number uint64, source string, offset int64, raw []byte) *nats.Msg {
	b := wire.Batch{Writer: writer, Number: number, Sum: wire.Sum(raw), Chunks: []wire.Chunk{{
		Source: source, Generation: 1, Offset: offset, Length: int64(len(raw)), Check: wire.Check{Len: len(raw), Sum: wire.Sum(raw)},
	}}}
	if offset == 0 {
		b.Opens = []wire.Open{{Source: source, Generation: 1, Identity: "id-" + writer, Previous: -1}}
	}
	msg := nats.NewMsg(wire.LogSubject(host))
	msg.Data = raw
	b.Put(msg.Header)
	return msg
}

// Publish sends a message as an agent does: once, with the stream and the predecessor it expects. Its error is the hub's.
func Publish(nc *nats.Conn, msg *nats.Msg, stream string, expected uint64) (uint64, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, fmt.Errorf("use JetStream: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ack, err := js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0), jetstream.WithExpectStream(stream),
		jetstream.WithExpectLastSequencePerSubject(expected))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Hello asks the hub where the chain of host stands.
func Hello(t testing.TB, nc *nats.Conn, host string, h wire.Hello) wire.Welcome {
	t.Helper()
	var w wire.Welcome
	Until(t, "hello is answered", func() (answered bool) {
		var err error
		w, err = TryHello(nc, host, h)
		var refused *refusedError
		if errors.As(err, &refused) {
			t.Fatal(err)
		}
		return err == nil
	})
	return w
}

// refusedError is what the hub answers instead of a Welcome.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return "hello: " + e.text }

// TryHello asks once.
func TryHello(nc *nats.Conn, host string, h wire.Hello) (wire.Welcome, error) {
	data, err := h.Encode()
	if err != nil {
		return wire.Welcome{}, fmt.Errorf("encode hello: %w", err)
	}
	msg, err := nc.Request(wire.HelloSubject(host), data, 5*time.Second)
	if err != nil {
		return wire.Welcome{}, fmt.Errorf("say hello: %w", err)
	}
	if text := msg.Header.Get("Nats-Service-Error"); text != "" {
		return wire.Welcome{}, &refusedError{text}
	}
	return wire.DecodeWelcome(msg.Data)
}
