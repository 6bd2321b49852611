package main

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
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
