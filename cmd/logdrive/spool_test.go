package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// crowded is a disk that takes a few bytes of each write, and mostly none.
type crowded struct {
	bytes.Buffer
	writes int
}

func (c *crowded) Write(b []byte) (int, error) {
	c.writes++
	if c.writes%3 != 0 {
		return 0, syscall.ENOSPC
	}
	n := min(len(b), 5)
	c.Buffer.Write(b[:n])
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestSpoolOutlastsAFullDisk(t *testing.T) {
	const text = "what a pipe held stands nowhere else\n"
	disk := &crowded{}
	out := &patient{ctx: t.Context(), w: disk, pause: time.Nanosecond, log: slog.New(slog.DiscardHandler)}
	if _, err := io.Copy(out, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if disk.String() != text {
		t.Errorf("the spool holds %q", disk.String())
	}
}

func testSpool(t *testing.T, limit int64) *spool {
	t.Helper()
	s := &spool{path: filepath.Join(t.TempDir(), "app"), limit: limit, log: slog.New(slog.DiscardHandler)}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.file.Close() })
	return s
}

// files is what the directory of the spool holds, by what follows its name.
func (s *spool) files(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(s.path + "*")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(name, s.path)] = string(data)
	}
	return all
}

func (s *spool) put(t *testing.T, text string) {
	t.Helper()
	if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("wrote %d bytes of %d: %v", n, len(text), err)
	}
}

func expectFiles(t *testing.T, s *spool, want map[string]string) {
	t.Helper()
	if got := fmt.Sprintf("%q", s.files(t)); got != fmt.Sprintf("%q", want) {
		t.Errorf("got %s, want %q", got, want)
	}
}

func TestSpoolRotatesAtTheEndOfALine(t *testing.T) {
	s := testSpool(t, 10)
	s.put(t, "1\n2\nno end")
	s.put(t, " yet and long")
	expectFiles(t, s, map[string]string{"": "no end yet and long", ".1": "1\n2\n"})
	s.put(t, " but here\n3")
	expectFiles(t, s, map[string]string{"": "3", ".1": "no end yet and long but here\n", ".2": "1\n2\n"})
}

// A shift that was broken off has left a gap: nothing is renamed over anything.
func TestSpoolRotatesOverAGap(t *testing.T) {
	s := testSpool(t, 2)
	for _, text := range []string{"a\n", "b\n", "c\n"} {
		s.put(t, text)
	}
	if err := os.Rename(s.rotated(1), s.rotated(5)); err != nil {
		t.Fatal(err)
	}
	s.put(t, "d\n")
	expectFiles(t, s, map[string]string{"": "", ".1": "d\n", ".2": "b\n", ".3": "a\n", ".5": "c\n"})
}

// Killed between the two halves of a rotation, or without room for the new file, it goes on.
func TestSpoolGoesOnAfterHalfARotation(t *testing.T) {
	s := testSpool(t, 2)
	s.put(t, "a\n")
	if err := s.shift(); err != nil {
		t.Fatal(err)
	}
	s.file.Close()
	s.file = nil
	s.put(t, "b")
	expectFiles(t, s, map[string]string{"": "b", ".1": "", ".2": "a\n"})
}

func TestShippedSpoolsAreDeletedAndNoOthers(t *testing.T) {
	s := testSpool(t, 2)
	for _, text := range []string{"a\n", "b\n", "c\n"} {
		s.put(t, text)
	}
	id := identityOf(t, s.rotated(2))
	s.shipped(tail.Generation{Source: "/elsewhere", Identity: id, Length: 2, Offset: 2})
	s.shipped(tail.Generation{Source: s.path, Identity: id, Length: 1, Offset: 1}) // it has grown since
	other := id
	other.Head++
	s.shipped(tail.Generation{Source: s.path, Identity: other, Length: 2, Offset: 2})
	expectFiles(t, s, map[string]string{"": "", ".1": "c\n", ".2": "b\n", ".3": "a\n"})
	s.shipped(tail.Generation{Source: s.path, Identity: id, Length: 2, Offset: 2})
	expectFiles(t, s, map[string]string{"": "", ".1": "c\n", ".3": "a\n"})
	var none *spool
	none.shipped(tail.Generation{})
}

// identityOf is what a tailer says of the file.
func identityOf(t *testing.T, path string) tail.Identity {
	t.Helper()
	cfg := tail.DefaultConfig()
	cfg.Paths, cfg.Once = []string{path}, true
	tailer, err := tail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tailer.Close()
	if err := tailer.Recover(nil); err != nil {
		t.Fatal(err)
	}
	var b tail.Batch
	for len(b.Opens) == 0 {
		if err := tailer.Fill(&b, tail.Limits{Bytes: 100, HeaderBytes: 4096}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Opens[0].Identity
}

// A pipe that nobody writes to, and that stays open, must not keep the agent from ending.
func TestSpoolEndsWhileItsInputIsSilent(t *testing.T) {
	s := testSpool(t, 1<<20)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	in.Fd() // as standard input is: reads block
	s.in = in
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	if _, err := out.WriteString("a line\n"); err != nil {
		t.Fatal(err)
	}
	for s.files(t)[""] != "a line\n" {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for its input")
	}
}
