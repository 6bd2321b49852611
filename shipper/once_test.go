package shipper_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/shipper"
)

// What cannot be read is no success.
func TestOnceSaysWhatItCannotRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	if err := os.WriteFile(path, []byte("one\n"), 0); err != nil {
		t.Fatal(err)
	}
	a := agent{hub: clustertest.Start(t, clustertest.Config()), state: t.TempDir(), paths: []string{path}, change: func(c *shipper.Config) { c.Once = true }}
	r := a.run(t)
	select {
	case err := <-r.done:
		r.done <- nil
		if err == nil {
			t.Fatal("--once looks like success, and the file was not shipped")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not end")
	}
}
