package shipper_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/shipper"
)

// A machine was cloned with its state directory: both agents go by one host name and one writer id.

func clonedState(t *testing.T, state string) string {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestClonedAgentAtTheSameTime(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	first, second := filepath.Join(t.TempDir(), "app.log"), filepath.Join(t.TempDir(), "app.log")
	appendTo(t, first, lines(0, 100))
	a := agent{hub: hub, state: t.TempDir(), paths: []string{first}}
	a.once(t)
	clone := agent{hub: hub, state: clonedState(t, a.state), paths: []string{second}, change: func(c *shipper.Config) { c.ConflictPatience = 100 * time.Millisecond }}
	appendTo(t, second, append(lines(0, 100), lines(5000, 5100)...))
	appendTo(t, first, lines(100, 200))
	a.run(t)
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 200)})
	r := clone.run(t)
	select {
	case err := <-r.done:
		r.done <- nil
		if !errors.Is(err, shipper.ErrConflict) {
			t.Fatalf("got %v, want ErrConflict", err)
		}
	case <-time.After(clustertest.Patience):
		t.Fatal("the clone goes on")
	}
	appendTo(t, first, lines(200, 300))
	holds(t, hub, map[string][]byte{"app.log#1": lines(0, 300)})
}

// One after the other, the hub cannot tell them apart, and their files have the same device, inode, birth and beginning. What was shipped from one is
// no beginning of the other: it must become another generation, whichever is longer, and whoever comes back must find its own again.
func TestClonedAgentsInTurn(t *testing.T) {
	common := lines(0, 100)
	ours := append(bytes.Clone(common), lines(1000, 1100)...)
	for name, theirs := range map[string][]byte{
		"longer":   append(bytes.Clone(common), lines(5000, 5200)...),
		"as long":  append(bytes.Clone(common), lines(5000, 5100)...),
		"shorter":  append(bytes.Clone(common), lines(5000, 5010)...),
		"a part":   append(bytes.Clone(common), lines(1000, 1050)...),
		"the same": ours,
	} {
		t.Run(name, func(t *testing.T) {
			hub := clustertest.Start(t, clustertest.Config())
			path := filepath.Join(t.TempDir(), "app.log")
			appendTo(t, path, common)
			a := agent{hub: hub, state: t.TempDir(), paths: []string{path}}
			a.once(t)
			clone := agent{hub: hub, state: clonedState(t, a.state), paths: []string{path}}
			putInto(t, path, ours)
			a.once(t)
			putInto(t, path, theirs)
			clone.once(t)
			want := map[string][]byte{"app.log#1": ours, "app.log#2": theirs}
			if bytes.Equal(ours, theirs) {
				delete(want, "app.log#2")
			}
			holds(t, hub, want)
			grown := append(bytes.Clone(ours), lines(1100, 1110)...)
			if bytes.HasPrefix(ours, theirs) && len(theirs) < len(ours) {
				want["app.log#2"] = grown // it is that file as well
			} else {
				want["app.log#1"] = grown
			}
			putInto(t, path, grown)
			a.once(t)
			holds(t, hub, want)
		})
	}
}

// putInto makes the file what it is on the other machine, in place: everything that says which file it is stays.
func putInto(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Truncate(int64(len(content))), f.Close()); err != nil {
		t.Fatal(err)
	}
}
