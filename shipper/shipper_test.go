package shipper_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/shipper"
)

func TestShipsFilesOnce(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	dir := t.TempDir()
	app, web := filepath.Join(dir, "app.log"), filepath.Join(dir, "web.log")
	appendTo(t, app, lines(0, 60_000))
	appendTo(t, web, append(lines(0, 10), "no newline at the end"...))
	a := agent{hub: hub, state: t.TempDir(), paths: []string{app, web}}
	a.once(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 60_000), "web.log#1": append(lines(0, 10), "no newline at the end"...)})

	appendTo(t, app, lines(60_000, 60_100))
	a.once(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 60_100), "web.log#1": append(lines(0, 10), "no newline at the end"...)})
}

func TestFollowsAGrowingFileThroughRotation(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	path := filepath.Join(t.TempDir(), "app.log")
	appendTo(t, path, lines(0, 100))
	agent{hub: hub, state: t.TempDir(), paths: []string{path}}.run(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 100)})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, lines(100, 200))
	appendTo(t, path+".1", lines(200, 210))
	holds(t, hub, map[string][]byte{"app.log#1": append(lines(0, 100), lines(200, 210)...), "app.log#2": lines(100, 200)})
}

// T6: the state directory is only a hint.
func TestStateWipedLosesAndDoublesNothing(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	path := filepath.Join(t.TempDir(), "app.log")
	appendTo(t, path, lines(0, 1000))
	a := agent{hub: hub, state: t.TempDir(), paths: []string{path}}
	a.once(t)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path+".1", lines(1000, 1010))
	appendTo(t, path, lines(2000, 3000))
	a.state = t.TempDir()
	a.once(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 1010), "app.log#2": lines(2000, 3000)})
}

// T6: a backup of the state directory knows less than the chain.
func TestStateRestoredFromABackup(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	path, backup := filepath.Join(t.TempDir(), "app.log"), t.TempDir()
	appendTo(t, path, lines(0, 500))
	a := agent{hub: hub, state: t.TempDir(), paths: []string{path}}
	a.once(t)
	if err := os.CopyFS(backup, os.DirFS(a.state)); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, lines(500, 900))
	a.once(t)
	a.state = backup
	appendTo(t, path, lines(900, 1000))
	a.once(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 1000)})
}

// T1: a batch of an earlier incarnation lands late, with another border than the new one's.
func TestLatePublishOfAnEarlierIncarnation(t *testing.T) {
	for _, release := range []string{"before hello", "after the new batch"} {
		t.Run(release, func(t *testing.T) {
			if testing.Short() && release != "before hello" {
				t.Skip("the hub takes 10 s to notice that the first agent is gone")
			}
			hub := clustertest.Start(t, clustertest.Config())
			proxy := clustertest.StartProxy(t, hub.Addresses().Leaf)
			path := filepath.Join(t.TempDir(), "app.log")
			appendTo(t, path, lines(0, 10))
			a := agent{hub: hub, address: proxy.Leaf(), state: t.TempDir(), paths: []string{path}}
			a.change = func(c *shipper.Config) { c.DrainTimeout = time.Millisecond }
			first := a.run(t)
			holds(t, hub, map[string][]byte{"app.log#1": lines(0, 10)})
			proxy.Blackhole()
			appendTo(t, path, lines(10, 110))
			clustertest.Until(t, "batch is in the black hole", func() bool { return proxy.Held() > 500 })
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
			appendTo(t, path, lines(110, 160))
			if release == "before hello" {
				proxy.Release()
			}
			a.address = "" // the new incarnation has a link of its own
			a.run(t)
			holds(t, hub, map[string][]byte{"app.log#1": lines(0, 160)})
			proxy.Release()
			holds(t, hub, map[string][]byte{"app.log#1": lines(0, 160)})
		})
	}
}

// T7: another agent under the same host name is told so, and mixes nothing.
func TestSecondAgentOfTheSameHost(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	first, second := filepath.Join(t.TempDir(), "app.log"), filepath.Join(t.TempDir(), "app.log")
	appendTo(t, first, lines(0, 100))
	appendTo(t, second, lines(5000, 5100))
	agent{hub: hub, state: t.TempDir(), paths: []string{first}}.run(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 100)})
	r := agent{hub: hub, state: t.TempDir(), paths: []string{second}, change: func(c *shipper.Config) { c.ConflictPatience = 100 * time.Millisecond }}.run(t)
	select {
	case err := <-r.done:
		r.done <- nil
		if !errors.Is(err, shipper.ErrConflict) {
			t.Fatalf("got %v, want ErrConflict", err)
		}
	case <-time.After(clustertest.Patience):
		t.Fatal("the second agent goes on")
	}
	appendTo(t, first, lines(100, 200))
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 200)})
}
