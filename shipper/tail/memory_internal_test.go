package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// reader ships the lines of one log to nobody.
type reader struct {
	*testing.T
	*Tailer
	path  string
	batch Batch
	lines int
}

func newReader(t *testing.T, name string) *reader {
	t.Helper()
	r := &reader{T: t, path: filepath.Join(t.TempDir(), name)}
	cfg := DefaultConfig()
	cfg.Paths, cfg.Grace, cfg.Patience, cfg.Idle, cfg.Sweep = []string{r.path}, 20*time.Millisecond, 20*time.Millisecond, 5*time.Millisecond, 5*time.Millisecond
	var err error
	if r.Tailer, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Tailer.Close() })
	r.must(r.Recover(nil))
	return r
}

func (r *reader) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// read waits until so many lines came and no late ones are awaited.
func (r *reader) read(lines int) {
	r.Helper()
	for end := time.Now().Add(10 * time.Second); r.lines < lines || len(r.sources[r.path].late) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.Fatal("too slow")
		}
		r.batch.Reset()
		r.must(r.Fill(&r.batch, Limits{Bytes: 1 << 20, HeaderBytes: 48 << 10}))
		for _, c := range r.batch.Chunks {
			r.lines += int(c.Lines)
		}
		r.Acked(&r.batch)
		r.Known()
		r.Departed()
	}
}

func TestRotationsLeaveNothingInMemory(t *testing.T) {
	r := newReader(t, "a.log")
	const rotations = 700
	for i := range rotations {
		if i > 0 {
			_ = os.Rename(r.path+".1", r.path+".2") // the older one goes
			r.must(os.Rename(r.path, r.path+".1"))
		}
		r.must(os.WriteFile(r.path, fmt.Appendf(nil, "line %d\n", i), 0o644))
		r.read(i + 1)
	}
	if s := r.sources[r.path]; len(s.settled) > 100 || len(r.owners) > 300 {
		t.Fatalf("after %d rotations: settled %d, owners %d", rotations, len(s.settled), len(r.owners))
	}
}

// A link that leads to another file every time.
func TestSwitchedLinksLeaveNothingInMemory(t *testing.T) {
	r := newReader(t, "current")
	const switches = 200
	name := func(i int) string {
		return filepath.Join(filepath.Dir(r.path), fmt.Sprintf("log-%c%c", 'a'+i/26, 'a'+i%26))
	}
	for i := range switches {
		r.must(os.WriteFile(name(i), fmt.Appendf(nil, "line %d\n", i), 0o644))
		r.must(os.Symlink(name(i), r.path+".new"))
		r.must(os.Rename(r.path+".new", r.path))
		r.read(i + 1)
		if i > 0 {
			r.must(os.Remove(name(i - 1)))
		}
	}
	if s := r.sources[r.path]; len(s.stems) > 100 {
		t.Fatalf("after %d links: %d stems, %d in all", switches, len(s.stems), len(r.stems))
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
