package tail_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// Where another directory stands at the path now, the watch of the old one tells nothing: a file that lives shorter than from one search to the next is nobody's then.
func TestReplacedDirectoryIsWatched(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for searches")
	}
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, root string){
		"not": func(*testing.T, string) {},
		"renamed": func(t *testing.T, root string) {
			must(t, os.Rename(filepath.Join(root, "app"), filepath.Join(root, "old")))
			must(t, os.Mkdir(filepath.Join(root, "app"), 0o755))
		},
		"removed": func(t *testing.T, root string) { // while a file of it is open
			must(t, os.RemoveAll(filepath.Join(root, "app")))
			must(t, os.Mkdir(filepath.Join(root, "app"), 0o755))
		},
		"link": func(t *testing.T, root string) {
			must(t, os.Mkdir(filepath.Join(root, "r2"), 0o755))
			must(t, os.Symlink("r2", filepath.Join(root, "new")))
			must(t, os.Rename(filepath.Join(root, "new"), filepath.Join(root, "app")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			app := filepath.Join(root, "app")
			real := app
			if name == "link" {
				real = filepath.Join(root, "r1")
				must(t, os.Symlink("r1", app))
			}
			must(t, os.Mkdir(real, 0o755))
			cfg := config(app + "/*.log")
			cfg.Find = 3 * time.Second
			tl, h := start(t, cfg), newHub(t)
			write(t, app+"/x.log", "one\n")
			expect(t, tl, h, app+"/x.log", "one\n")
			replace(t, root)
			pumpFor(t, tl, h, 2*cfg.Find+cfg.Find/2) // searches come by, the next one comes after y.log
			write(t, app+"/y.log", "two\n")
			pumpFor(t, tl, h, cfg.Find/5)
			must(t, os.Remove(app+"/y.log"))
			expect(t, tl, h, app+"/y.log", "two\n")
		})
	}
}

// pumpFor ships what comes in a time.
func pumpFor(t *testing.T, tl *tail.Tailer, h *hub, span time.Duration) {
	t.Helper()
	end := time.After(span)
	var b tail.Batch
	for {
		b.Reset()
		must(t, tl.Fill(&b, limits))
		if !b.Empty() {
			h.take(&b)
			tl.Acked(&b)
			continue
		}
		select {
		case <-tl.Wake():
		case <-end:
			return
		}
	}
}
