package clustertest_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

// echo answers with what it is sent.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(clustertest.Patience))
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text+"\n"); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || got != want+"\n" {
		t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

func TestProxyHoldsAndReleases(t *testing.T) {
	p := clustertest.StartProxy(t, echo(t))
	old := dial(t, p.Address())
	say(t, old, "one")
	hear(t, old, "one")

	p.Blackhole()
	say(t, old, "two")
	_ = old.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := old.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("a held connection carried something")
	}
	_ = old.SetReadDeadline(time.Now().Add(clustertest.Patience))

	p.Heal()
	young := dial(t, p.Address())
	say(t, young, "three")
	hear(t, young, "three")

	p.Release()
	hear(t, old, "two")
}

// What a killed process sent is on its way still.
func TestProxyDeliversWhatTheDeadSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := clustertest.StartProxy(t, "nats-leaf://"+l.Addr().String())
	client := dial(t, p.Address())
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	clustertest.Until(t, "the connection stands", func() bool { return p.Connections() == 1 })
	p.Blackhole()
	words := strings.Repeat("last words ", 1<<18)
	say(t, client, words)
	say(t, server, strings.Repeat("in vain ", 1<<18))
	clustertest.Until(t, "the words are on their way", func() bool { return p.Held() == len(words)+1+8<<18+1 })
	client.Close()
	p.Release()
	_ = server.SetDeadline(time.Now().Add(clustertest.Patience))
	if got, err := bufio.NewReader(server).ReadString('\n'); err != nil || got != words+"\n" {
		t.Errorf("heard %d bytes, %v, want %d", len(got), err, len(words)+1)
	}
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("the connection stays open")
	}
}

func TestProxyCutsAndHeals(t *testing.T) {
	p := clustertest.StartProxy(t, echo(t))
	conn := dial(t, p.Address())
	say(t, conn, "one")
	hear(t, conn, "one")
	p.Cut()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut: %v", err)
	}
	if again, err := net.Dial("tcp", p.Address()); err == nil { // else it was reset at once
		t.Cleanup(func() { again.Close() })
		_ = again.SetDeadline(time.Now().Add(clustertest.Patience))
		if _, err := again.Read(make([]byte, 1)); err == nil {
			t.Error("a new connection passes while cut")
		}
	}
	p.Heal()
	conn = dial(t, p.Address())
	say(t, conn, "two")
	hear(t, conn, "two")
}

func TestProxyDelays(t *testing.T) {
	p := clustertest.StartProxy(t, echo(t))
	p.Delay(30 * time.Millisecond)
	conn := dial(t, p.Address())
	start := time.Now()
	say(t, conn, "one")
	hear(t, conn, "one")
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Errorf("there and back took %v, want at least twice the delay", took)
	}
}
