//go:build unix

package election_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/election"
)

// What the candidate is told that this test binary runs instead of tests.
const (
	childHub    = "LOGDRIVE_TEST_ELECTION_HUB"
	childSecret = "LOGDRIVE_TEST_ELECTION_SECRET"
	childName   = "LOGDRIVE_TEST_ELECTION_NAME"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childHub); url != "" {
		fmt.Fprintln(os.Stderr, "candidate ended:", runChild(url, os.Getenv(childName)))
		os.Exit(1)
	}
	_ = flag.Set("test.parallel", "8") // they wait for leases to pass, whatever the number of cores
	os.Exit(m.Run())
}

// runChild competes until it is killed, and tells its events on standard output.
func runChild(url, who string) error {
	nc, err := cluster.Connect(url, os.Getenv(childSecret))
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx := context.Background()
	kv, err := js.KeyValue(ctx, "ELECTION")
	if err != nil {
		return err
	}
	written, err := js.KeyValue(ctx, "RESOURCE")
	if err != nil {
		return err
	}
	cfg := election.DefaultConfig()
	cfg.ID, cfg.Logger = who, slog.New(slog.NewTextHandler(os.Stderr, nil)).With("who", who)
	out := json.NewEncoder(os.Stdout)
	return election.Run(ctx, kv, key, cfg, duty(who, fence{written}, func(e event) { _ = out.Encode(e) }))
}

// child is a candidate in a process of its own.
type child struct {
	*exec.Cmd
	read sync.WaitGroup
}

// startChild runs a candidate whose events go to h, until it is killed or the test ends.
func startChild(t *testing.T, hub *clustertest.Hub, who string, h *history) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0])}
	c.Env = append(os.Environ(), childHub+"="+hub.Addresses().Client, childSecret+"="+hub.Secret(), childName+"="+who)
	c.Stderr = t.Output()
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.read.Go(func() {
		for in := json.NewDecoder(out); ; {
			var e event
			if in.Decode(&e) != nil {
				return
			}
			h.tell(e)
		}
	})
	t.Cleanup(c.kill)
	return c
}

// kill ends the process with no time to say anything.
func (c *child) kill() {
	_ = c.Process.Kill()
	c.read.Wait()
	_ = c.Wait()
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// The lease of a process that was killed ends with its TTL, and another leads.
func TestKill(t *testing.T) {
	t.Parallel()
	hub, h := clustertest.Start(t, clustertest.Config()), &history{}
	nc := hub.Receiver(t)
	kv, written := lease(t, nc), resource(t, nc)
	a := startChild(t, hub, "a", h)
	leader := h.writes(t, 0, "")
	run(t, kv, config(t, "b"), duty("b", written, h.tell))
	if !testing.Short() { // at any time of a renewal
		time.Sleep(rand.N(ttl))
	}
	start := time.Now()
	a.kill()
	next := h.writes(t, leader.Term, "a")
	t.Logf("took over within %v of the kill", next.At.Sub(start))
	if took := next.At.Sub(start); took > ttl+5*time.Second { // TTL + 1 s, and what a busy machine takes
		t.Errorf("took over in %v", took)
	}
	h.checkFence(t)
}

// A process that is stopped for longer than its lease does no harm when it goes on: it is told at once, and what it writes is refused.
func TestPause(t *testing.T) {
	t.Parallel()
	hub, h := clustertest.Start(t, clustertest.Config()), &history{}
	nc := hub.Receiver(t)
	kv, written := lease(t, nc), resource(t, nc)
	a := startChild(t, hub, "a", h)
	leader := h.writes(t, 0, "")
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		b := run(t, kv, config(t, fmt.Sprint("b", round)), duty(fmt.Sprint("b", round), written, h.tell))
		time.Sleep(rand.N(100 * time.Millisecond)) // within a write, or between two
		a.signal(t, syscall.SIGSTOP)
		next := h.writes(t, leader.Term, "a")
		start := time.Now()
		a.signal(t, syscall.SIGCONT)
		end := h.await(t, "the one that was stopped ends", func(e event) bool { return e.Who == "a" && e.What == "end" && e.Term == leader.Term })
		t.Logf("the one that was stopped ended %v after it went on: %s", end.At.Sub(start), end.Cause)
		before := h.count(next.Who, "wrote")
		clustertest.Until(t, "the new leader goes on writing", func() bool { return h.count(next.Who, "wrote") > before+5 })
		_ = b.stop(t)
		leader = h.writes(t, next.Term, next.Who) // a again
	}
	a.kill()
	h.checkFence(t)
	h.checkReigns(t, "a")
	t.Logf("writes refused by the fence: %d", h.count("a", "fenced"))
}
