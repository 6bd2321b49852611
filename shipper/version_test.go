package shipper_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// words is a log that a test can read while it is written.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *words) say(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), what)
}

// A hub of another version answers hello: nothing is published, the log says which side to upgrade, and when that is done all is shipped.
func TestHubOfAnotherVersion(t *testing.T) {
	for _, test := range []struct {
		name    string
		welcome wire.Welcome
		remedy  string
	}{
		{"older", wire.Welcome{Version: wire.Version - 1, Stream: "LOGS-H-1-1", Table: &wire.Table{}}, "upgrade the hub"},
		{"newer", wire.Welcome{Version: wire.Version + 1, Stream: "LOGS-H-1-1", Table: &wire.Table{}}, "upgrade the agent"},
		{"newer, and refuses", wire.Welcome{Version: wire.Version + 1, Refusal: "agent is too old"}, "upgrade the agent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVersions(t, test.welcome)
			said := &words{}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- v.ship(t, ctx, false, said) }()
			clustertest.Until(t, "the log says what to do", func() bool { return said.say(test.remedy) })
			select {
			case err := <-ended:
				t.Fatalf("the agent ended: %v", err)
			default:
			}
			v.upgrade(t)
			holds(t, v.hub, map[string][]byte{"app.log#1": lines(0, 100)})
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if v.published() > 0 {
				t.Error("something was published to a hub of another version")
			}
		})
	}
}

func TestOnceAgainstAHubOfAnotherVersion(t *testing.T) {
	v := newVersions(t, wire.Welcome{Version: wire.Version + 1, Refusal: "agent is too old"})
	if err := v.ship(t, t.Context(), true, &words{}); err == nil || !strings.Contains(err.Error(), "upgrade the agent") {
		t.Errorf("got %v", err)
	}
}

// versions is a leaf that is cut from its hub, where something else answers hello.
type versions struct {
	hub   *clustertest.Hub
	proxy *clustertest.Proxy
	leaf  *clustertest.Leaf
	store *checkpoint.Store
	path  string
	hello *nats.Subscription
	logs  *nats.Subscription
}

func newVersions(t *testing.T, w wire.Welcome) *versions {
	t.Helper()
	v := &versions{hub: clustertest.Start(t, clustertest.Config()), path: filepath.Join(t.TempDir(), "app.log")}
	v.proxy = clustertest.StartProxy(t, v.hub.Addresses().Leaf)
	v.proxy.Cut()
	appendTo(t, v.path, lines(0, 100))
	var err error
	check := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	v.store, err = checkpoint.Open(t.TempDir(), host, clustertest.Logger(t))
	check()
	t.Cleanup(func() { v.store.Close() })
	v.leaf = clustertest.NewLeaf(t, cluster.LeafConfig{
		Host: host, Writer: v.store.Writer(), Session: "session", Hubs: []string{v.proxy.Leaf()}, Secret: v.hub.Secret(),
	})
	fake := v.leaf.Client(t)
	answer, err := w.Encode()
	check()
	v.hello, err = fake.Subscribe(wire.HelloSubject(host), func(m *nats.Msg) { m.Respond(answer) })
	check()
	v.logs, err = fake.SubscribeSync(wire.LogSubject(host))
	check()
	err = fake.Flush()
	check()
	return v
}

// upgrade puts the real hub in the place of the other one.
func (v *versions) upgrade(t *testing.T) {
	t.Helper()
	if err := v.hello.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if n := v.published(); n > 0 {
		t.Errorf("%d batches were published", n)
	}
	if err := v.logs.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	v.proxy.Heal()
}

func (v *versions) published() int {
	n, _, err := v.logs.Pending()
	if err != nil {
		return 0 // it is over
	}
	return n
}

func (v *versions) ship(t *testing.T, ctx context.Context, once bool, log *words) error {
	files := tail.DefaultConfig()
	files.Paths, files.Once = []string{v.path}, once
	tailer, err := tail.New(files)
	if err != nil {
		return err
	}
	defer tailer.Close()
	cfg := shipper.DefaultConfig()
	cfg.Host, cfg.Writer, cfg.Session, cfg.Once = host, v.store.Writer(), "session", once
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	nc := v.leaf.Client(t)
	defer nc.Close()
	s, err := shipper.New(nc, tailer, v.store, cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
