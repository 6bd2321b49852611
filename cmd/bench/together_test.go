package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
)

// owner is an archive while it owns the one partition, in turn with another.
type owner struct {
	dir string
	a   *archive.Archive
}

var streamCreated = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// tenure archives text, which follows the table, under an epoch of its own, and gives the table after it.
func (o *owner) tenure(t *testing.T, epoch uint64, source string, table wire.Table, text []byte) wire.Table {
	t.Helper()
	p, err := o.a.Partition("LOGS-test-1-0", streamCreated, epoch, table.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Knows("web1") {
		err = p.Adopt("web1", table)
	}
	var b wire.Batch
	b.Writer, b.Number = "w", epoch
	var offset int64
	if table.Sequence == 0 {
		b.Opens = []wire.Open{{Source: source, Generation: 1, Identity: "one", Previous: -1}}
	} else {
		offset = table.Sources[source][0].Offset
	}
	b.Chunks = []wire.Chunk{{Source: source, Generation: 1, Offset: offset, Length: int64(len(text))}}
	m := archive.Message{Host: "web1", Sequence: table.Sequence + 1, Expected: table.Sequence, HasExpected: true, Batch: b, Raw: text}
	if err := errors.Join(err, p.Append(m), p.Cut().Do()); err != nil {
		t.Fatal(err)
	}
	after := p.Table("web1")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return after
}

// Two receivers archive in turn; what they hold is checked as one.
func TestCheckOverSeveralArchives(t *testing.T) {
	logs, manifest := t.TempDir(), filepath.Join(t.TempDir(), "manifest.json")
	log := filepath.Join(logs, "a.log")
	if _, err := bench(t, "write", "--lines", "3000", "--manifest", manifest, log); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var owners []*owner
	var dirs []string
	for range 2 {
		cfg := archive.DefaultConfig()
		cfg.Dir = filepath.Join(t.TempDir(), "archive")
		a, err := archive.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		owners, dirs = append(owners, &owner{cfg.Dir, a}), append(dirs, cfg.Dir)
	}
	var table wire.Table
	for i := range 5 { // the cuts fall into the midst of lines
		table = owners[i%2].tenure(t, uint64(i+1), log, table, text[len(text)*i/5:len(text)*(i+1)/5])
	}
	for _, o := range owners {
		if err := o.a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := bench(t, append([]string{"check", "--manifest", manifest}, dirs...)...); err != nil || !strings.Contains(out, "3000 lines") {
		t.Errorf("lines: %v: %s", err, out)
	}
	if out, err := bench(t, append([]string{"check", "--against", logs}, dirs...)...); err != nil {
		t.Errorf("bytes: %v: %s", err, out)
	}
	if out, err := bench(t, "check", "--manifest", manifest, dirs[0], dirs[0]); !errors.Is(err, errFaults) {
		t.Errorf("one archive twice: %v: %s", err, out)
	}
	if out, err := bench(t, "check", "--manifest", manifest, dirs[0]); !errors.Is(err, errFaults) {
		t.Errorf("one of two: %v: %s", err, out)
	}
}
