package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// Whatever moment of its founding a hub is killed at, the next start makes one whole hub of it.
func TestFoundingSurvivesKills(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		dir := t.TempDir()
		for range 3 {
			cmd, _ := startChild(t, dir)
			// Until the store is there the process only loads; what is of interest takes some 30 ms from then on.
			clustertest.Until(t, "the child has a store", func() bool { _, err := os.Stat(filepath.Join(dir, "lock")); return err == nil })
			time.Sleep(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
			kill(cmd)
		}
		cfg := clustertest.Config()
		cfg.StoreDir, cfg.Partitions = dir, 1
		hub := clustertest.Start(t, cfg)
		agent := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf)
		w := clustertest.Hello(t, agent.Client(t), "web1", hello("a", 0))
		if _, err := clustertest.Publish(agent.Client(t), clustertest.Batch("web1", "w-a", 1, "/x", 0, []byte("x\n")), w.Stream, 0); err != nil {
			t.Fatal(err)
		}
		streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "LOGS", "streams", "*"))
		if err != nil || len(streams) != cfg.Partitions+1 {
			t.Errorf("the store holds %v (%v), want %d streams and the bucket", streams, err, cfg.Partitions)
		}
		if err := agent.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := hub.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHubIsTheSameAfterARestart(t *testing.T) {
	cfg := clustertest.Config()
	cfg.StoreDir = t.TempDir()
	hub := clustertest.Start(t, cfg)
	agent := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf)
	nc := agent.Client(t)
	before := clustertest.Hello(t, nc, "web1", hello("a", 0))
	head, err := clustertest.Publish(nc, clustertest.Batch("web1", "w-a", 1, "/x", 0, []byte("x\n")), before.Stream, 0)
	if err != nil {
		t.Fatal(err)
	}
	secret := hub.Secret()
	if err := hub.Stop(); err != nil {
		t.Fatal(err)
	}

	cfg.Listen = strings.TrimPrefix(hub.Addresses().Client, "nats://")
	cfg.LeafListen = strings.TrimPrefix(hub.Addresses().Leaf, "nats-leaf://")
	again := clustertest.Start(t, cfg)
	if again.Secret() != secret {
		t.Error("the secret changed")
	}
	after := clustertest.Hello(t, nc, "web1", hello("a", 0)) // through the link that the leaf made again
	if after.Stream != before.Stream || !after.Created.Equal(before.Created) || after.Head != head {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// Killed between the two files that a change of a stream's limit writes, the server alone would start without the stream.
func TestHubKeepsAStreamWhoseChangeWasCutShort(t *testing.T) {
	cfg := clustertest.Config()
	cfg.StoreDir = t.TempDir()
	hub := clustertest.Start(t, cfg)
	layout := layoutOf(t, hub)
	agent := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf)
	nc := agent.Client(t)
	stream := clustertest.Hello(t, nc, "web1", hello("a", 0)).Stream
	if _, err := clustertest.Publish(nc, clustertest.Batch("web1", "w-a", 1, "/x", 0, []byte("x\n")), stream, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(agent.Stop(), hub.Stop()); err != nil {
		t.Fatal(err)
	}
	meta := filepath.Join(cfg.StoreDir, "jetstream", "LOGS", "streams", stream, "meta.inf")
	data, err := os.ReadFile(meta)
	if err != nil {
		t.Fatal(err)
	}
	raised := strings.Replace(string(data), fmt.Sprintf(`"max_bytes":%d`, layout.StreamBytes), fmt.Sprintf(`"max_bytes":%d`, layout.StreamBytes+1), 1)
	if raised == string(data) {
		t.Fatalf("no limit in %s", data)
	}
	write(t, filepath.Dir(meta), "meta.inf", raised)

	again := clustertest.Start(t, cfg)
	nc = clustertest.StartLeaf(t, again, "web1", "a", again.Addresses().Leaf).Client(t)
	if w := clustertest.Hello(t, nc, "web1", hello("a", 0)); w.Head != 1 {
		t.Errorf("the batch is gone: %+v", w)
	}
	info, err := streamsOf(t, again.Receiver(t)).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.CachedInfo().Config.MaxBytes; got != layout.StreamBytes {
		t.Errorf("the limit is %d, want %d again", got, layout.StreamBytes)
	}
}

// Receivers keep buckets beside the layout's. One whose making was cut short by a kill must not end the hub.
func TestHubRunsBesideAHalfMadeStream(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the health to be asked")
	}
	cfg := clustertest.Config()
	cfg.StoreDir = t.TempDir()
	if err := clustertest.Start(t, cfg).Stop(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(cfg.StoreDir, "jetstream", "LOGS", "streams", "KV_HALF")
	if err := os.MkdirAll(half, 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, half, "meta.inf", "{")
	hub, start := clustertest.Start(t, cfg), time.Now()
	clustertest.Until(t, "the hub was asked for its health", func() bool { return time.Since(start) > 5*time.Second })
	if err := hub.Stop(); err != nil {
		t.Errorf("the hub ended: %v", err)
	}
}

// Made by the server in the remains of a making that was cut short, a bucket would be gone at the start after.
func TestHubMendsAHalfMadeBucket(t *testing.T) {
	cfg := clustertest.Config()
	cfg.StoreDir = t.TempDir()
	hub := clustertest.Start(t, cfg)
	nc := hub.Receiver(t)
	if _, err := streamsOf(t, nc).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "MINE", MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if err := hub.Stop(); err != nil {
		t.Fatal(err)
	}
	remove(t, cfg.StoreDir, "jetstream/LOGS/streams/KV_MINE/meta.sum")
	again := clustertest.Start(t, cfg)
	if _, err := streamsOf(t, again.Receiver(t)).KeyValue(t.Context(), "MINE"); err != nil {
		t.Error(err)
	}
}

func TestStoreFilesArePrivate(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	err := filepath.WalkDir(hub.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Dir(path) != hub.Dir {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHubRefusesToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, cfg *cluster.HubConfig, layout wire.Layout)
		want  string
	}{
		"a stream is lost": {func(t *testing.T, cfg *cluster.HubConfig, l wire.Layout) {
			remove(t, cfg.StoreDir, "jetstream/LOGS/streams/"+l.Stream(1))
		}, "is gone from a founded hub"},
		"the bucket is lost": {func(t *testing.T, cfg *cluster.HubConfig, _ wire.Layout) {
			remove(t, cfg.StoreDir, "jetstream/LOGS/streams/KV_LOGDRIVE")
		}, "stream KV_LOGDRIVE is gone"},
		"a stream's configuration is damaged": {func(t *testing.T, cfg *cluster.HubConfig, l wire.Layout) {
			write(t, cfg.StoreDir, "jetstream/LOGS/streams/"+l.Stream(1)+"/meta.inf", "{")
		}, "meta.inf is damaged"},
		"the layout is lost":    {func(t *testing.T, cfg *cluster.HubConfig, _ wire.Layout) { remove(t, cfg.StoreDir, "layout.json") }, "holds streams, but"},
		"the layout is damaged": {func(t *testing.T, cfg *cluster.HubConfig, _ wire.Layout) { write(t, cfg.StoreDir, "layout.json", "{") }, "is damaged"},
		"the layout is another hub's": {func(t *testing.T, cfg *cluster.HubConfig, _ wire.Layout) {
			write(t, cfg.StoreDir, "layout.json", `{"hub":"other","layout":1,"partitions":2,"stream_bytes":67108864}`)
		}, "belong to different hubs"},
		"the secret is empty":    {func(t *testing.T, cfg *cluster.HubConfig, _ wire.Layout) { write(t, cfg.StoreDir, "secret", "") }, "secret is empty"},
		"its port is taken":      {func(_ *testing.T, cfg *cluster.HubConfig, _ wire.Layout) { cfg.Listen = taken.Addr().String() }, "address already in use"},
		"its leaf port is taken": {func(_ *testing.T, cfg *cluster.HubConfig, _ wire.Layout) { cfg.LeafListen = taken.Addr().String() }, "address already in use"},
		"the store cannot be made": {func(t *testing.T, cfg *cluster.HubConfig, _ wire.Layout) {
			cfg.StoreDir = filepath.Join(cfg.StoreDir, "secret", "x")
		}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := clustertest.Config()
			cfg.StoreDir, cfg.Logger = t.TempDir(), clustertest.Logger(t)
			hub := clustertest.Start(t, cfg)
			layout := layoutOf(t, hub)
			nc := hub.Receiver(t)
			js := streamsOf(t, nc)
			if _, err := js.Publish(t.Context(), wire.PartSubject(1, 0, "web1"), nil); err != nil {
				t.Fatal(err)
			}
			nc.Close()
			if err := hub.Stop(); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, &cfg, layout)
			again, err := cluster.NewHub(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
			defer cancel()
			if err := again.Run(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it ended with %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestHubRefusesAStoreInUse(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	cfg := clustertest.Config()
	cfg.StoreDir, cfg.Logger = hub.Dir, clustertest.Logger(t)
	second, err := cluster.NewHub(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("it ended with %v", err)
	}
}

func TestConfigsListTheirFaults(t *testing.T) {
	cfg := cluster.HubConfig{Listen: "0.0.0.0:4222", LeafListen: "nowhere", Partitions: -1, Name: "a b"}
	_, err := cluster.NewHub(cfg)
	for _, want := range []string{"store directory", "logger", "-1 partitions", "stream size 0", "holds a space", "no loopback address", `"nowhere"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	_, err = cluster.NewLeaf(cluster.LeafConfig{Host: "a/b", Writer: "x.y", Hubs: []string{"nats://h:4222", "nats-leaf://h", "http://h:1"}})
	for _, want := range []string{"invalid host name", `writer id "x.y"`, `session id ""`, "logger", "is for receivers", `"nats-leaf://h" is not`, "write ws://h:1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
