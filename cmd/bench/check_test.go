package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// bench runs a command as main would.
func bench(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	app := newApp()
	app.Writer = &out
	err := app.RunContext(t.Context(), append([]string{"bench"}, args...))
	return out.String(), err
}

// archived writes rotated logs and puts their generations where a receiver would.
func archived(t *testing.T) (dir, logs, manifest, active string) {
	t.Helper()
	dir, logs = t.TempDir(), t.TempDir()
	manifest = filepath.Join(t.TempDir(), "manifest.json")
	log := filepath.Join(logs, "a.log")
	if _, err := bench(t, "write", "--rate", "50000", "--lines", "2000", "--rotate-every", "15ms", "--manifest", manifest, log); err != nil {
		t.Fatal(err)
	}
	text, err := joined(log)
	if err != nil {
		t.Fatal(err)
	}
	active = filepath.Join(dir, "hosts", "web1", log)
	half := bytes.IndexByte(text[len(text)/2:], '\n') + len(text)/2 + 1
	if err := os.MkdirAll(filepath.Dir(active), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string][]byte{active + "%00000001-000000000000000000": text[:half], active: text[half:]} {
		if err := os.WriteFile(name, part, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, logs, manifest, active
}

func joined(log string) ([]byte, error) {
	names, err := filepath.Glob(log + ".*")
	var text []byte
	for n := len(names); n > 0 && err == nil; n-- {
		var part []byte
		part, err = os.ReadFile(log + "." + strconv.Itoa(n))
		text = append(text, part...)
	}
	last, lastErr := os.ReadFile(log)
	return append(text, last...), errors.Join(err, lastErr)
}

func TestCheckPassesWhatIsWhole(t *testing.T) {
	dir, logs, manifest, _ := archived(t)
	out, err := bench(t, "check", "--manifest", manifest, dir)
	if err != nil || !strings.Contains(out, "2000 lines") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := bench(t, "check", "--against", logs, "--host", "web1", dir); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := bench(t, "check", "--json", dir); err != nil || !strings.HasPrefix(out, "{") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestCheckFailsOnWhatIsNot(t *testing.T) {
	for name, damage := range map[string]func(text []byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-1000] },
		"changed": func(b []byte) []byte { b[10] ^= 1; return b },
		"doubled": func(b []byte) []byte { return append(b, b...) },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir, logs, manifest, active := archived(t)
			text, err := os.ReadFile(active)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(active, damage(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := bench(t, "check", "--manifest", manifest, dir); !errors.Is(err, errFaults) {
				t.Errorf("lines: %v: %s", err, out)
			}
			if out, err := bench(t, "check", "--against", logs, dir); !errors.Is(err, errFaults) {
				t.Errorf("bytes: %v: %s", err, out)
			}
		})
	}
}

func TestCheckMissesAWholeSource(t *testing.T) {
	dir, logs, _, active := archived(t)
	if err := os.RemoveAll(filepath.Dir(active)); err != nil {
		t.Fatal(err)
	}
	if out, err := bench(t, "check", "--against", logs, dir); !errors.Is(err, errFaults) || !strings.Contains(out, "not in the archive") {
		t.Errorf("%v: %s", err, out)
	}
}
