package shipper_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

// opened is how many of the files with this beginning the process has open, deleted ones included.
func opened(t *testing.T, prefix string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

// An agent that starts while the hub is away holds what is rotated and deleted until it can be shipped.
func TestRotationBeforeTheHubAnswersLosesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	for _, state := range []string{"kept", "wiped"} {
		t.Run(state, func(t *testing.T) {
			hub := clustertest.Start(t, clustertest.Config())
			proxy := clustertest.StartProxy(t, hub.Addresses().Leaf)
			path := filepath.Join(t.TempDir(), "app.log")
			appendTo(t, path, lines(0, 100))
			a := agent{hub: hub, address: proxy.Leaf(), state: t.TempDir(), paths: []string{path}}
			a.once(t)
			proxy.Cut()
			appendTo(t, path, lines(100, 150))
			if state == "wiped" {
				a.state = t.TempDir()
			}
			a.run(t)
			for gone := range 3 {
				clustertest.Until(t, "the log is open", func() bool { return opened(t, path) == gone+1 })
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				appendTo(t, path, lines(1000*(gone+1), 1000*(gone+1)+10))
			}
			clustertest.Until(t, "all are open", func() bool { return opened(t, path) == 4 })
			proxy.Heal()
			holds(t, hub, map[string][]byte{
				"app.log#1": lines(0, 150), "app.log#2": lines(1000, 1010), "app.log#3": lines(2000, 2010), "app.log#4": lines(3000, 3010),
			})
		})
	}
}
