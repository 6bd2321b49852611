package cluster_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// late is a server that does not answer its first clients in time.
type late struct {
	nats.InProcessConnProvider
	silent atomic.Int32
}

type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func (l *late) InProcessConn() (net.Conn, error) {
	if l.silent.Add(-1) >= 0 {
		return nil, timeout{errors.New("too busy")}
	}
	return l.InProcessConnProvider.InProcessConn()
}

func TestConnectInProcessWaitsForABusyServer(t *testing.T) {
	real, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	real.Start()
	defer real.Shutdown()
	busy := &late{InProcessConnProvider: real}
	busy.silent.Store(3)
	nc, err := cluster.ConnectInProcess(busy, "test", clustertest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestErrorsOfAConnectionAreLogged(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	var log lockedBuffer
	nc, err := cluster.Connect(hub.Addresses().Client, hub.Secret(), cluster.LogErrors(slog.New(slog.NewTextHandler(&log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.ChanSubscribe("too.much", make(chan *nats.Msg))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for range 10 {
		if err := nc.Publish("too.much", bytes.Repeat([]byte("x"), 100)); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Until(t, "the slow subscriber is in the log", func() bool {
		return strings.Contains(log.String(), "slow consumer") && strings.Contains(log.String(), "too.much")
	})
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestReceiverAddressesThatCannotBe(t *testing.T) {
	for hub, want := range map[string]string{
		"nats-leaf://hub:7422":          "is for agents",
		"nats://":                       "is not nats://host:port",
		"nats://::1":                    "an IPv6 address stands in brackets",
		"nats://[::1]:1,nats://::1:422": "an IPv6 address stands in brackets",
		"nats://hub:65536":              "port 65536 is not 1 to 65535",
	} {
		nc, err := cluster.Connect(hub, clustertest.Secret)
		if err == nil {
			nc.Close()
		}
		if err == nil || errors.Is(err, cluster.ErrUnreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to say %q", hub, err, want)
		}
	}
}
