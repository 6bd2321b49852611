package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// spoolRetry is the pause before the spool is written again.
const spoolRetry = time.Second

// spool is the file in the state directory that standard input is appended to. It is tailed like any other, so that input has one path with files, and
// what was read before a crash is not lost. When it is full it is rotated beside itself as logrotate would, NAME.1 being the newest; the tailer takes that for one source with
// many generations. Those that the hub has are deleted.
type spool struct {
	path  string
	limit int64 // bytes, at the next end of a line
	in    *os.File
	log   *slog.Logger

	file *os.File // owned by run
	size int64

	names sync.Mutex // held while rotated files change their names or go
}

// numbered is how rotated spools end.
var numbered = regexp.MustCompile(`\.[0-9]+$`)

// openSpool makes the spool of --stdin, or nil without that flag.
func (a *agent) openSpool() (*spool, error) {
	if a.stdin == "" {
		return nil, nil
	}
	if strings.ContainsAny(a.stdin, "/\x00") || a.stdin == "." || a.stdin == ".." {
		return nil, fmt.Errorf("--stdin %q: the name must be that of a file, without directories", a.stdin)
	}
	if numbered.MatchString(a.stdin) || tail.IsRotated(a.stdin) {
		return nil, fmt.Errorf("--stdin %q: the name must not be that of a rotated file: it would be taken for one of another --stdin with this state directory", a.stdin)
	}
	limit, err := size(a.c, "stdin-size")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(a.state, "stdin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	s := &spool{path: filepath.Join(dir, a.stdin), limit: limit, in: os.Stdin, log: a.p.log}
	return s, s.open()
}

func (s *spool) open() error {
	file, err := os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open spool: %w", err), file.Close())
	}
	s.file, s.size = file, info.Size()
	return nil
}

// run appends until the input ends or ctx does. Then it returns nil: the tailer goes on with what is there.
func (s *spool) run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	defer func() { s.file.Close() }()
	in, done, err := newInterruptible(ctx, s.in)
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	defer done()
	out := &patient{ctx: ctx, w: s, pause: spoolRetry, log: s.log.With("spool", s.path)}
	if _, err := io.Copy(out, in); err != nil && ctx.Err() == nil {
		return fmt.Errorf("append standard input to %s: %w", s.path, err)
	}
	return nil
}

// Write appends, and rotates at the end of the last line when the spool is full: no line is in two files.
func (s *spool) Write(b []byte) (int, error) {
	cut := bytes.LastIndexByte(b, '\n') + 1
	if s.size+int64(len(b)) < s.limit || cut == 0 {
		return s.append(b)
	}
	n, err := s.append(b[:cut])
	if err != nil {
		return n, err
	}
	if err := s.rotate(); err != nil {
		return n, err
	}
	more, err := s.append(b[cut:])
	return n + more, err
}

func (s *spool) append(b []byte) (int, error) {
	if s.file == nil { // a rotation came half way
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.Write(b)
	s.size += int64(n)
	return n, err
}

// rotate moves the spool aside. Killed at any moment, or out of room for the new file, it leaves the files under one name each, and the next append goes on.
func (s *spool) rotate() error {
	if err := s.shift(); err != nil {
		return fmt.Errorf("rotate spool: %w", err)
	}
	err := s.file.Close()
	s.file = nil
	return errors.Join(err, s.open())
}

// shift moves each file one number up to the first that is free, the newest last: none is ever renamed over another.
func (s *spool) shift() error {
	s.names.Lock()
	defer s.names.Unlock()
	free := 1
	for ; ; free++ {
		if _, err := os.Lstat(s.rotated(free)); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
	}
	for n := free; n > 1; n-- {
		if err := os.Rename(s.rotated(n-1), s.rotated(n)); err != nil {
			return err
		}
	}
	return os.Rename(s.path, s.rotated(1))
}

func (s *spool) rotated(n int) string { return fmt.Sprintf("%s.%d", s.path, n) }

// shipped deletes the rotated file of a generation that the hub has to its end. What was ever renamed is written no more, and one whose length differs, or whose
// beginning, is another.
func (s *spool) shipped(g tail.Generation) {
	if s == nil || g.Source != s.path {
		return
	}
	s.names.Lock()
	defer s.names.Unlock()
	if err := s.remove(g); err != nil {
		s.log.Warn("shipped spool stays", "spool", s.path, "err", err)
	}
}

func (s *spool) remove(g tail.Generation) error {
	entries, err := os.ReadDir(filepath.Dir(s.path))
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(s.path), e.Name())
		if numbered.ReplaceAllString(name, "") != s.path || name == s.path {
			continue
		}
		if info, err := e.Info(); err != nil || info.Size() != g.Length || !g.Identity.Stands(name) {
			continue
		}
		return os.Remove(name)
	}
	return err
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
		if n += more; n == len(b) && err == nil {
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
