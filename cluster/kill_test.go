package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// childStore names the store of the hub that this test binary runs instead of tests.
const childStore = "LOGDRIVE_TEST_HUB_STORE"

// childStop names the step of a change of the layout after which that hub kills itself.
const childStop = "LOGDRIVE_TEST_HUB_STOP"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childStore); dir != "" {
		runChild(dir)
		return
	}
	os.Exit(m.Run())
}

// child is what the hub in a process of its own tells when it is ready.
type child struct {
	cluster.Addresses
	Secret string
}

func runChild(dir string) {
	cluster.SetStop(func(step string) {
		if step == os.Getenv(childStop) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	cfg := clustertest.Config()
	cfg.StoreDir, cfg.Logger, cfg.Partitions = dir, slog.New(slog.DiscardHandler), 1
	hub, err := cluster.NewHub(cfg)
	if err == nil {
		go func() {
			<-hub.Ready()
			_ = json.NewEncoder(os.Stdout).Encode(child{hub.Addresses(), hub.Secret()})
		}()
		err = hub.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, "hub ended:", err)
	os.Exit(1)
}

// startChild runs a hub in a process of its own, to be killed.
func startChild(t *testing.T, dir string, env ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childStore+"="+dir), env...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// What was acknowledged is there after any kill, once and in order, while the limit of the stream goes up and down beside it.
func TestAcknowledgedBatchesSurviveKills(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 2
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, proxy := t.TempDir(), clustertest.StartProxy(t, "127.0.0.1:1")
	w := writer{proxy: proxy}
	for range rounds {
		cmd, out := startChild(t, dir)
		var c child
		if err := json.NewDecoder(out).Decode(&c); err != nil {
			t.Fatalf("the hub did not start again: %v", err)
		}
		proxy.Target(c.Leaf)
		ctx, cancel := context.WithCancel(t.Context())
		resized := make(chan struct{})
		go func() {
			defer close(resized)
			resize(ctx, t, c)
		}()
		w.catchUp(t, c)
		killed := time.AfterFunc(time.Duration(random.Int64N(int64(300*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		for w.publish(t) == nil {
		}
		killed.Stop()
		kill(cmd)
		cancel()
		<-resized
	}
	t.Logf("%d batches acknowledged", w.table.Number)
}

// writer is an agent with one file of numbered lines.
type writer struct {
	proxy  *clustertest.Proxy
	nc     *nats.Conn
	stream string
	table  wire.Table // as far as acknowledged
}

// catchUp says hello and checks that the hub still holds what it acknowledged, whole.
func (w *writer) catchUp(t *testing.T, c child) {
	t.Helper()
	if w.nc == nil {
		w.nc = clustertest.NewLeaf(t, cluster.LeafConfig{Host: "web1", Writer: "w-a", Session: "s-a", Hubs: []string{w.proxy.Leaf()}, Secret: c.Secret}).Client(t)
	}
	welcome := clustertest.Hello(t, w.nc, "web1", hello("a", 0))
	if welcome.Refusal != "" || welcome.Head < w.table.Sequence {
		t.Fatalf("acknowledged up to %d, the hub says %+v", w.table.Sequence, welcome)
	}
	w.stream, w.table = welcome.Stream, *welcome.Table
	var end int64
	if e := w.table.Find("/x", 1); e != nil {
		end = e.Offset
	}
	if end != int64(w.table.Number)*8 {
		t.Fatalf("%d batches, but %d bytes", w.table.Number, end)
	}
}

// publish sends the next line. An error says that its fate is unknown.
func (w *writer) publish(t *testing.T) error {
	t.Helper()
	msg := clustertest.Batch("web1", "w-a", w.table.Number+1, "/x", int64(w.table.Number)*8, fmt.Appendf(nil, "%07d\n", w.table.Number))
	msg.Header.Set("Nats-Expected-Stream", w.stream)
	msg.Header.Set(wire.HeaderExpected, strconv.FormatUint(w.table.Sequence, 10))
	reply, err := w.nc.RequestMsg(msg, time.Second)
	if err != nil {
		return err
	}
	var ack struct {
		Seq   uint64
		Error any
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Error != nil {
		t.Fatalf("the hub says %s", reply.Data)
	}
	w.table.Number, w.table.Sequence = w.table.Number+1, ack.Seq
	return nil
}

// resize raises and lowers the stream's limit until ctx or the hub ends.
func resize(ctx context.Context, t *testing.T, c child) {
	nc, err := cluster.Connect(c.Client, c.Secret)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Error(err)
		return
	}
	for n := int64(0); ctx.Err() == nil; n++ {
		for info := range js.ListStreams(ctx).Info() {
			if info.Config.Name != "KV_"+wire.Bucket {
				info.Config.MaxBytes = 64<<20 + n%2
				if _, err := js.UpdateStream(ctx, info.Config); err != nil && !errors.Is(err, context.Canceled) && nc.IsConnected() {
					t.Logf("resize: %v", err)
				}
			}
		}
	}
}
