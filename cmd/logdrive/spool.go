package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// spoolRetry is the pause before the spool is written again.
const spoolRetry = time.Second

// spool is the file in the state directory that standard input is appended to. It is tailed like any other, so that input has one path with files, and
// what was read before a crash is not lost.
type spool struct {
	path string
	file *os.File
	in   *os.File
	log  *slog.Logger
}

// openSpool makes the spool of --stdin, or nil without that flag.
func (a *agent) openSpool() (*spool, error) {
	if a.stdin == "" {
		return nil, nil
	}
	if strings.ContainsAny(a.stdin, "/\x00") || a.stdin == "." || a.stdin == ".." {
		return nil, fmt.Errorf("--stdin %q: the name must be that of a file, without directories", a.stdin)
	}
	dir := filepath.Join(a.state, "stdin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	path := filepath.Join(dir, a.stdin)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return &spool{path: path, file: file, in: os.Stdin, log: a.p.log}, nil
}

// run appends until the input ends or ctx does. Then it returns nil: the tailer goes on with what is there.
func (s *spool) run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	defer s.file.Close()
	// A read from a pipe cannot be given up otherwise; on a file it returns by itself.
	defer context.AfterFunc(ctx, func() { s.in.Close() })()
	out := &patient{ctx: ctx, w: s.file, pause: spoolRetry, log: s.log.With("spool", s.path)}
	if _, err := io.Copy(out, s.in); err != nil && ctx.Err() == nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("append standard input to %s: %w", s.path, err)
	}
	return nil
}

// patient writes on after an error, from where it came to, until its context ends. What was read from a pipe stands nowhere else: a disk that is full for a while
// must hold up whoever writes to the pipe, and lose nothing.
type patient struct {
	ctx   context.Context
	w     io.Writer
	pause time.Duration
	log   *slog.Logger
}

func (p *patient) Write(b []byte) (n int, err error) {
	for waiting := false; ; waiting = true {
		more, err := p.w.Write(b[n:])
		if n += more; n == len(b) {
			return n, nil
		}
		if !waiting {
			p.log.Error("cannot spool standard input; trying on, its writer waits", "err", err)
		}
		select {
		case <-p.ctx.Done():
			return n, err
		case <-time.After(p.pause):
		}
	}
}
