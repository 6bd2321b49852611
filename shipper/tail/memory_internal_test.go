package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Rotations leave nothing behind.
func TestRotationsLeaveNothingInMemory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	cfg := DefaultConfig()
	cfg.Paths, cfg.Grace, cfg.Patience, cfg.Idle, cfg.Sweep = []string{path}, 20*time.Millisecond, 20*time.Millisecond, 5*time.Millisecond, 5*time.Millisecond
	tl, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tl.Close()
	if err := tl.Recover(nil); err != nil {
		t.Fatal(err)
	}
	var b Batch
	lines := 0
	until := func(ok func() bool) {
		for end := time.Now().Add(10 * time.Second); !ok(); {
			if time.Now().After(end) {
				t.Fatal("too slow")
			}
			b.Reset()
			if err := tl.Fill(&b, Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}); err != nil {
				t.Fatal(err)
			}
			for _, c := range b.Chunks {
				lines += int(c.Lines)
			}
			tl.Acked(&b)
			tl.Known()
			tl.Departed()
			time.Sleep(time.Millisecond)
		}
	}
	const rotations = 700
	for i := range rotations {
		if i > 0 {
			_ = os.Rename(path+".1", path+".2") // the older one goes
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, fmt.Appendf(nil, "line %d\n", i), 0o644); err != nil {
			t.Fatal(err)
		}
		until(func() bool { return lines > i && len(tl.sources[path].late) == 0 })
	}
	s := tl.sources[path]
	t.Logf("past %d settled %d owners %d stems %d", len(s.past), len(s.settled), len(tl.owners), len(s.stems))
	if len(s.settled) > 100 || len(tl.owners) > 300 {
		t.Fatalf("after %d rotations: settled %d, owners %d", rotations, len(s.settled), len(tl.owners))
	}
}

// A link that leads to another file every time.
func TestSwitchedLinksLeaveNothingInMemory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "current")
	cfg := DefaultConfig()
	cfg.Paths, cfg.Grace, cfg.Patience, cfg.Idle, cfg.Sweep = []string{path}, 20*time.Millisecond, 20*time.Millisecond, 5*time.Millisecond, 5*time.Millisecond
	tl, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tl.Close()
	if err := tl.Recover(nil); err != nil {
		t.Fatal(err)
	}
	var b Batch
	lines := 0
	const rotations = 200
	for i := range rotations {
		name := filepath.Join(dir, fmt.Sprintf("log-%c%c", 'a'+i/26, 'a'+i%26))
		_ = os.WriteFile(name, fmt.Appendf(nil, "line %d\n", i), 0o644)
		_ = os.Symlink(name, path+".new")
		_ = os.Rename(path+".new", path)
		for end := time.Now().Add(10 * time.Second); lines <= i || len(tl.sources[path].late) > 0; {
			if time.Now().After(end) {
				t.Fatal("too slow")
			}
			b.Reset()
			_ = tl.Fill(&b, Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10})
			for _, c := range b.Chunks {
				lines += int(c.Lines)
			}
			tl.Acked(&b)
			tl.Known()
			time.Sleep(time.Millisecond)
		}
		if i > 0 {
			_ = os.Remove(filepath.Join(dir, fmt.Sprintf("log-%c%c", 'a'+(i-1)/26, 'a'+(i-1)%26)))
		}
	}
	s := tl.sources[path]
	if len(s.stems) > 100 {
		t.Fatalf("after %d links: %d stems, %d in all", rotations, len(s.stems), len(tl.stems))
	}
}

// A check that a batch of another's making put into the table: the agent says hello again and compares.
func TestTableWithAHugeCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Paths = []string{path}
	tl, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tl.Close()
	if err := tl.Recover(nil); err != nil {
		t.Fatal(err)
	}
	var b Batch
	for b.Empty() {
		if err := tl.Fill(&b, Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}); err != nil {
			t.Fatal(err)
		}
	}
	tl.Acked(&b)
	known := Generation{Source: path, Number: 1, Identity: b.Opens[0].Identity, Offset: 1 << 62, Length: -1, Check: Check{Len: 1 << 60}}
	if err := tl.Recover([]Generation{known}); err != nil {
		t.Fatal(err)
	}
}
