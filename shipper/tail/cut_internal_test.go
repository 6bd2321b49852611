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

// A link that was switched after two readings of the directory had agreed: what it led to then is not the newest.
func TestSwitchAfterReadingsAgreedKeepsTheOrder(t *testing.T) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	path, first, second := filepath.Join(dir, "a.log"), filepath.Join(dir, "a.log-20260101-1"), filepath.Join(dir, "a.log-20260101-2")
	ok(os.WriteFile(first, nil, 0o644))
	ok(os.Symlink(first, path))
	cfg := DefaultConfig()
	cfg.Paths = []string{path}
	tl, err := New(cfg)
	ok(err)
	defer tl.Close()
	ok(tl.Recover(nil))
	var b Batch
	limits := Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}
	s := tl.sources[path]
	for s.newest() == nil {
		ok(tl.Fill(&b, limits))
		<-tl.Wake()
	}
	ok(os.WriteFile(second, nil, 0o644))
	s.wantScan()
	found, _, err := s.entries()
	ok(err)
	if len(found) != 2 {
		t.Fatalf("found %v", found)
	}
	ok(os.WriteFile(first, []byte("one\n"), 0o644))
	ok(os.Symlink(second, path+".new"))
	ok(os.Rename(path+".new", path))
	ok(os.WriteFile(second, []byte("two\n"), 0o644))
	s.reconcile(found, time.Now())
	got := ""
	for len(got) < len("one\ntwo\n") {
		ok(tl.Fill(&b, limits))
		got += string(b.Data)
		b.Reset()
		<-tl.Wake()
	}
	if got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
}

// A log that was empty when its directory was read may have been filled, copied and cut by the time it is seen to hold something: the copy comes before that.
func TestCopyMadeBetweenTwoLooksKeepsTheOrder(t *testing.T) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "a.log")
	second := "two, which is long enough to be told from another by what stands in it\n"
	ok(os.WriteFile(path, []byte("one\n"), 0o644))
	cfg := DefaultConfig()
	cfg.Paths = []string{path}
	tl, err := New(cfg)
	ok(err)
	defer tl.Close()
	ok(tl.Recover(nil))
	tl.notify.close() // an event may be late
	tl.notify = nil
	s, got := tl.sources[path], ""
	until := func(is func() bool) {
		var b Batch
		for deadline := time.Now().Add(20 * time.Second); !is(); <-tl.Wake() {
			ok(tl.Fill(&b, Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}))
			got += string(b.Data)
			b.Reset()
			if time.Now().After(deadline) {
				t.Fatalf("got %q", got)
			}
		}
	}
	until(func() bool { return got == "one\n" })
	ok(os.Truncate(path, 0))
	until(func() bool { return s.newest().cut && !s.scan && !s.seeks() })
	ok(os.WriteFile(path+"-20260101-2", []byte(second), 0o644))
	ok(os.WriteFile(path, []byte("three\n"), 0o644))
	until(func() bool { return len(got) >= len("one\n"+second+"three\n") })
	if want := "one\n" + second + "three\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The same before the log was ever opened: it is copied and cut after the directory was read.
func TestCopyMadeAfterTheReadingKeepsTheOrder(t *testing.T) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "a.log")
	first := "one, which is long enough to be told from another by what stands in it\n"
	cfg := DefaultConfig()
	cfg.Paths = []string{path}
	tl, err := New(cfg)
	ok(err)
	defer tl.Close()
	ok(tl.Recover(nil))
	tl.notify.close()
	tl.notify = nil
	ok(os.WriteFile(path, []byte(first), 0o644))
	s := tl.sources[path]
	s.wantScan()
	found, _, err := s.entries()
	ok(err)
	ok(os.WriteFile(path+"-20260101-2", []byte(first), 0o644))
	ok(os.WriteFile(path, []byte("two\n"), 0o644))
	s.scan, s.scanned = false, s.since
	s.reconcile(found, time.Now())
	var b Batch
	got := ""
	for deadline := time.Now().Add(20 * time.Second); len(got) < len(first+"two\n"); <-tl.Wake() {
		ok(tl.Fill(&b, Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}))
		got += string(b.Data)
		b.Reset()
		if time.Now().After(deadline) {
			t.Fatalf("got %q", got)
		}
	}
	if want := first + "two\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What was opened stays open when the readings turn out to have agreed too early: it may be gone at the next.
func TestOpenedFileIsKeptThoughTheReadingWasTooEarly(t *testing.T) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	cfg := DefaultConfig()
	cfg.Paths = []string{path}
	tl, err := New(cfg)
	ok(err)
	defer tl.Close()
	ok(tl.Recover(nil))
	ok(os.WriteFile(path+".1", []byte("one\n"), 0o644))
	ok(os.WriteFile(path, []byte("two\n"), 0o644))
	s := tl.sources[path]
	s.wantScan()
	found, _, err := s.entries()
	ok(err)
	ok(os.Remove(path + ".1"))
	ok(os.WriteFile(path+".1", []byte("three\n"), 0o644))
	s.reconcile(found, time.Now()) // opens the path and finds another file behind it
	ok(os.Remove(path))
	var b Batch
	got := ""
	for deadline := time.Now().Add(20 * time.Second); got != "two\nthree\n" && got != "three\ntwo\n"; <-tl.Wake() {
		ok(tl.Fill(&b, Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}))
		got += string(b.Data)
		b.Reset()
		if time.Now().After(deadline) {
			t.Fatalf("got %q", got)
		}
	}
}
