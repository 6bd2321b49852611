package shipper_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper"
	"github.com/logdrive/logdrive/shipper/tail"
)

// forgetful is an agent that finishes sources soon, and does while its table holds more than keep.
func forgetful(t *testing.T, hub *clustertest.Hub, dir string, keep int) agent {
	return agent{
		hub: hub, state: t.TempDir(), paths: []string{filepath.Join(dir, "*.log")},
		change: func(c *shipper.Config) { c.KeepSources, c.SaveEvery = keep, 50*time.Millisecond },
		tailing: func(c *tail.Config) {
			c.Patience, c.Grace, c.Linger = 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
			c.Sweep, c.Find, c.Quiet = 50*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
		},
	}
}

// shipped is everything that came of each source, its generations joined.
func shipped(t *testing.T, hub *clustertest.Hub) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	got := content(t, hub)
	for _, key := range slices.SortedFunc(maps.Keys(got), byGeneration) {
		name, _, _ := strings.Cut(key, "#")
		all[name] = append(all[name], got[key]...)
	}
	return all
}

func byGeneration(a, b string) int {
	var n, m int
	fmt.Sscan(a[strings.IndexByte(a, '#')+1:], &n)
	fmt.Sscan(b[strings.IndexByte(b, '#')+1:], &m)
	return n - m
}

// TestNamesThatChangeForEver: thousands of small files come and go, some names come back, and the agent is killed and loses its state in between. Everything is
// shipped once, and the table stays small.
func TestNamesThatChangeForEver(t *testing.T) {
	const keep, burst = 60, 100
	rounds, life := 12, 3 // an agent lives for so many rounds
	if testing.Short() {
		rounds, life = 3, 1
	}
	hub := clustertest.Start(t, clustertest.Config())
	dir := t.TempDir()
	a := forgetful(t, hub, dir, keep)
	idle := filepath.Join(dir, "idle.log")
	appendTo(t, idle, lines(0, 3))
	want := map[string][]byte{"idle.log": lines(0, 3)}
	running := a.run(t)
	for round := range rounds {
		var names []string
		for i := range burst {
			name := fmt.Sprintf("job-%d-%d.log", round, i)
			if i%10 == 0 {
				name = fmt.Sprintf("again-%d.log", i) // each round
			}
			data := fmt.Appendf(nil, "round %d file %d of many that are short\n", round, i)
			appendTo(t, filepath.Join(dir, name), data)
			names, want[name] = append(names, name), append(want[name], data...)
		}
		clustertest.Until(t, "the burst is shipped", func() bool {
			table := folded(t, hub)
			return !slices.ContainsFunc(names, func(name string) bool { return offset(&table, filepath.Join(dir, name)) == 0 })
		})
		if round%life == life-1 {
			running.stop()
			if round%(2*life) == life-1 {
				a.state = t.TempDir()
			}
			running = a.run(t)
		}
		for _, name := range names {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		clustertest.Until(t, "the burst is forgotten", func() bool {
			table := folded(t, hub)
			return len(table.Sources) <= keep+1
		})
	}
	appendTo(t, idle, lines(3, 5))
	want["idle.log"] = lines(0, 5)
	clustertest.Until(t, "the last line is shipped", func() bool { return len(shipped(t, hub)["idle.log"]) == len(want["idle.log"]) })
	got := shipped(t, hub)
	for name := range want {
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s: the chain holds %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d sources came, want %d", len(got), len(want))
	}
	t.Logf("%d sources seen, table of %d with numbers up to %d", len(got), len(folded(t, hub).Sources), folded(t, hub).Forgotten)
}

// offset is the end of the newest generation of a source.
func offset(table *wire.Table, source string) int64 {
	extents := table.Sources[source]
	if len(extents) == 0 {
		return 0
	}
	return extents[len(extents)-1].Offset
}

// An agent that is run by cron forgets as one that runs for ever does; one with an old copy of its state neither ships again what is finished nor
// takes an old number.
func TestForgottenSourcesAndStateFromABackup(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	dir, backup := t.TempDir(), t.TempDir()
	a := forgetful(t, hub, dir, 1)
	for i := range 200 {
		appendTo(t, filepath.Join(dir, fmt.Sprintf("job-%d.log", i)), lines(i, i+1))
	}
	a.once(t)
	if err := os.CopyFS(backup, os.DirFS(a.state)); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf("job-%d.log", i))); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(t, filepath.Join(dir, "new.log"), lines(0, 7))
	a.once(t)
	if table := folded(t, hub); len(table.Sources) > 1+64 || table.Forgotten != 1 {
		t.Fatalf("%d sources are left, numbers are used up to %d", len(table.Sources), table.Forgotten)
	}
	a.once(t)
	if table := folded(t, hub); len(table.Sources) != 1 {
		t.Fatalf("%d sources are left", len(table.Sources))
	}
	a.state = backup
	appendTo(t, filepath.Join(dir, "job-3.log"), lines(1000, 1001))
	a.once(t)
	got := content(t, hub)
	if again := got["job-3.log#2"]; !bytes.Equal(again, lines(1000, 1001)) || !bytes.Equal(got["new.log#1"], lines(0, 7)) || len(got) != 202 {
		maps.DeleteFunc(got, func(key string, _ []byte) bool { return strings.HasSuffix(key, "#1") })
		t.Errorf("job-3.log came back as %q; beside the first generations there are %q", again, got)
	}
}

// TestTooManyFilesForOneHost: what a table cannot hold waits until there is room. The agent says so, and ships the others on.
func TestTooManyFilesForOneHost(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	dir := t.TempDir()
	const files = 300
	name := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%03d.log", i)) }
	for i := range files {
		appendTo(t, name(i), fmt.Appendf(nil, "file %d\n", i))
	}
	var log watched
	a := forgetful(t, hub, dir, 10_000)
	change := a.change
	a.change = func(c *shipper.Config) {
		change(c)
		c.TableBytes, c.Logger = 40<<10, slog.New(slog.NewTextHandler(&log, nil))
		c.BatchBytes, c.MaxBatchBytes = 50, 50 // few files a batch, so that those in flight do not pass the bound
	}
	running := a.run(t)
	var begun int
	clustertest.Until(t, "the table is full", func() bool { return log.holds("too many files for one host") })
	table := folded(t, hub)
	if begun = len(table.Sources); begun > files*2/3 || table.Weight() > 40<<10 {
		t.Errorf("%d files are begun, the table weighs %d", begun, table.Weight())
	}
	running.stop()
	once := a
	once.change = func(c *shipper.Config) { a.change(c); c.Once = true }
	ended := once.run(t)
	err := <-ended.done
	ended.done <- nil
	if err == nil || !strings.Contains(err.Error(), "files were not shipped") {
		t.Errorf("agent --once ends with %v", err)
	}
	a.run(t)
	for i := range files {
		if offset(&table, name(i)) > 0 {
			appendTo(t, name(i), []byte("goes on\n"))
		}
	}
	clustertest.Until(t, "those that are begun go on", func() bool {
		now := folded(t, hub)
		for source := range table.Sources {
			if offset(&now, source) < int64(len("file 0\ngoes on\n")) {
				return false
			}
		}
		return true
	})
	clustertest.Until(t, "all are shipped", func() bool {
		table := folded(t, hub)
		for source := range table.Sources {
			os.Remove(source)
		}
		return len(shipped(t, hub)) == files
	})
}
