package tail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Files that were closed because they are idle rotate like any others, though all rotate at once and few may be open.
func TestClosedFilesRotate(t *testing.T) {
	for name, away := range map[string]func(path string) error{
		"renamed":   func(path string) error { return os.Rename(path, path+".1") },
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := config(dir)
			cfg.MaxOpen, cfg.Quiet = 8, 10*time.Millisecond
			log := func(i int) string { return filepath.Join(dir, fmt.Sprintf("%d.log", i)) }
			for i := range 40 {
				write(t, log(i), "a line\n")
			}
			tl, h := start(t, cfg), newHub(t)
			pump(t, tl, h, func() bool { return len(h.gens) == 40 })
			for i := range 40 {
				must(t, away(log(i)))
				write(t, log(i), "another\n")
			}
			pump(t, tl, h, func() bool { return h.total() == 40*int64(len("a line\nanother\n")) })
			if h.missing() > 0 {
				t.Errorf("declared missing: %+v", h.miss)
			}
		})
	}
}
