package tail

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file that is cut between being opened and being compared with its copy must not be taken for something else than the copy: both were it.
func TestCutAfterItWasOpenedIsNoticed(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"untouched": func(string) error { return nil },
		"grown": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("more\n")
			}
			return err
		},
		"cut":             func(path string) error { return os.Truncate(path, 0) },
		"cut and written": func(path string) error { return os.WriteFile(path, []byte("another line that is longer\n"), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			path := filepath.Join(t.TempDir(), "a.log")
			cfg.Paths = []string{path}
			tl, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("a line\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			s := tl.add(path, true)
			st, err := statPath(path)
			if err != nil {
				t.Fatal(err)
			}
			rest, err := s.openAll([]entry{{path: path, st: st, size: st.size}})
			if err != nil || len(rest) != 1 {
				t.Fatal(rest, err)
			}
			defer tl.closeLoose()
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			if got, want := s.verify(rest, time.Now()), name != "untouched" && name != "grown"; got != want || s.scan != want {
				t.Errorf("noticed %v, scans again %v, want %v", got, s.scan, want)
			}
		})
	}
}
