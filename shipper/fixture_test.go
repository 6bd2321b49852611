package shipper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

const host = "web1.example.com"

// agent is what a test can choose of an agent; run joins its parts as cmd/logdrive does.
type agent struct {
	hub     *clustertest.Hub
	address string // of the hub or a proxy before it; "": the hub's
	state   string
	paths   []string
	change  func(*shipper.Config)
	tailing func(*tail.Config)
}

// running is an agent that runs.
type running struct {
	kill context.CancelFunc // ends everything at once, in-flight batches included
	done chan error
}

func (a agent) run(t *testing.T) *running {
	t.Helper()
	store, err := checkpoint.Open(a.state, host, clustertest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	if a.address == "" {
		a.address = a.hub.Addresses().Leaf
	}
	cfg := shipper.DefaultConfig()
	cfg.Host, cfg.Writer, cfg.Session, cfg.Logger = host, store.Writer(), fmt.Sprint(time.Now().UnixNano()), clustertest.Logger(t)
	if a.change != nil {
		a.change(&cfg)
	}
	leaf := clustertest.NewLeaf(t, cluster.LeafConfig{Host: host, Writer: cfg.Writer, Session: cfg.Session, Hubs: []string{a.address}, Secret: a.hub.Secret()})
	files := tail.DefaultConfig()
	files.Paths, files.Once = a.paths, cfg.Once
	if a.tailing != nil {
		a.tailing(&files)
	}
	tailer, err := tail.New(files)
	if err != nil {
		t.Fatal(err)
	}
	nc := leaf.Client(t)
	s, err := shipper.New(nc, tailer, store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{kill: cancel, done: make(chan error, 1)}
	go func() {
		err := s.Run(ctx)
		nc.Close()
		r.done <- errors.Join(err, tailer.Close(), store.Close(), leaf.Stop())
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

// stop ends the agent and gives its error, once.
func (r *running) stop() error {
	r.kill()
	select {
	case err := <-r.done:
		r.done <- nil
		return err
	case <-time.After(clustertest.Patience):
		return errors.New("agent does not end")
	}
}

// once ships what is there.
func (a agent) once(t *testing.T) {
	t.Helper()
	before := a.change
	a.change = func(c *shipper.Config) {
		c.Once = true
		if before != nil {
			before(c)
		}
	}
	r := a.run(t)
	select {
	case err := <-r.done:
		r.done <- nil
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(clustertest.Patience):
		t.Fatal("agent --once does not end")
	}
}

// content is what the chain of the host holds, by source and generation. Bytes that are doubled, absent or out of order fail the test.
func content(t *testing.T, hub *clustertest.Hub) map[string][]byte {
	t.Helper()
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), clustertest.Patience)
	defer cancel()
	decoder, err := wire.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	got, last := map[string][]byte{}, uint64(0)
	for name := range js.StreamNames(ctx).Name() {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		for seq := state.FirstSeq; seq != 0 && seq <= state.LastSeq; seq++ {
			msg, err := stream.GetMsg(ctx, seq)
			if err != nil {
				t.Fatal(err)
			}
			if h, err := wire.HostOfPart(msg.Subject); err != nil || h != host {
				continue
			}
			if expected, ok := wire.Expectation(msg.Header); !ok || expected != last {
				t.Fatalf("batch %d expects %d, the one before is %d", seq, expected, last)
			}
			last = seq
			b, err := wire.ParseBatch(msg.Header)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := decoder.Decode(nil, msg.Data, &b)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range b.Chunks {
				key := fmt.Sprintf("%s#%d", filepath.Base(c.Source), c.Generation)
				if c.Offset != int64(len(got[key])) {
					t.Fatalf("%s: chunk at %d, have %d bytes", key, c.Offset, len(got[key]))
				}
				got[key] = append(got[key], raw[:c.Length]...)
				raw = raw[c.Length:]
			}
		}
	}
	return got
}

// folded is the host's table, as everyone makes it who reads the chain.
func folded(t *testing.T, hub *clustertest.Hub) (table wire.Table) {
	t.Helper()
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), clustertest.Patience)
	defer cancel()
	for name := range js.StreamNames(ctx).Name() {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		if len(config.Subjects) == 0 || !strings.HasPrefix(config.Subjects[0], "part.") {
			continue
		}
		last, err := stream.GetLastMsgForSubject(ctx, strings.TrimSuffix(config.Subjects[0], "*")+wire.HostToken(host))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if linked, err := wire.Follow(ctx, stream, last.Subject, &table, last.Sequence); !linked || err != nil {
			t.Fatalf("chain is linked: %v, %v", linked, err)
		}
	}
	return table
}

// holds waits until the chain holds exactly what is wanted.
func holds(t *testing.T, hub *clustertest.Hub, want map[string][]byte) {
	t.Helper()
	var got map[string][]byte
	complete := func() bool {
		got = content(t, hub)
		for key, bytes := range want {
			if len(got[key]) < len(bytes) {
				return false
			}
		}
		return true
	}
	clustertest.Until(t, fmt.Sprintf("the chain holds all of %d generations", len(want)), complete)
	for key := range got {
		if !bytes.Equal(got[key], want[key]) {
			t.Errorf("%s: the chain holds %d bytes, the file %d, or they differ", key, len(got[key]), len(want[key]))
		}
	}
}

// lines are numbered, so that a difference shows.
func lines(from, to int) []byte {
	var b bytes.Buffer
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d of a log file that is shipped\n", i)
	}
	return b.Bytes()
}

func appendTo(t *testing.T, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// watched is a log that is read while it is written.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *watched) holds(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}
