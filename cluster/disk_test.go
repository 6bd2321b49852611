//go:build linux

package cluster_test

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// A disk that is full before the streams are: what was acknowledged stays, the hub ends with a clear error, and is itself again once there is room.
func TestHubEndsWhenItsDiskIsFull(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for an answer that never comes")
	}
	dir := smallDisk(t, "24m")
	cfg := clustertest.Config()
	cfg.StoreDir, cfg.Logger, cfg.Partitions = dir, clustertest.Logger(t), 1
	hub, err := cluster.NewHub(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(context.Background()) }()
	<-hub.Ready()
	nc := clustertest.NewLeaf(t, cluster.LeafConfig{Host: "web1", Writer: "w-a", Session: "s-a", Hubs: []string{hub.Addresses().Leaf}, Secret: hub.Secret()}).Client(t)
	w := clustertest.Hello(t, nc, "web1", hello("a", 0))
	raw := make([]byte, 1<<20)
	var head uint64
	for n := uint64(0); ; n++ {
		seq, err := clustertest.Publish(nc, clustertest.Batch("web1", "w-a", n, "/x", int64(n)<<20, raw), w.Stream, head)
		if err != nil {
			break
		}
		head = seq
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "make room on it") {
		t.Errorf("the hub ended with %v", err)
	}

	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	again := clustertest.Start(t, cfg)
	nc = clustertest.StartLeaf(t, again, "web1", "a", again.Addresses().Leaf).Client(t)
	after := clustertest.Hello(t, nc, "web1", wire.Hello{Version: wire.Version, Writer: "w-a", Session: "s-a"})
	if after.Head < head {
		t.Fatalf("acknowledged up to %d, the hub holds %d", head, after.Head)
	}
	if _, err := clustertest.Publish(nc, clustertest.Batch("web1", "w-a", after.Head, "/x", int64(after.Head)<<20, raw), w.Stream, after.Head); err != nil {
		t.Errorf("with room on the disk: %v", err)
	}
}

func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}
