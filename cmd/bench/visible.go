package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

// followBlock is the most that is read of an archive file at once; it must hold a line.
const followBlock = 256 << 10

// sighting is when a line was written and when it could be read in the archive.
type sighting struct {
	end     int64 // offset behind the line
	stamped int64 // Unix nanoseconds
	seen    int64
}

// follower reads one active file of the archive as it grows.
type follower struct {
	path      string
	file      *os.File // nil until it is there
	offset    int64    // of the first byte in buf
	buf       []byte   // an unfinished line
	sightings []sighting
}

// follow looks at the files again and again until ctx ends. Each look costs two system calls a file, so many files want a longer interval.
func follow(ctx context.Context, every time.Duration, all []*follower) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, f := range all {
			if err := f.look(); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return closeAll(all)
		}
	}
}

func closeAll(all []*follower) error {
	var errs []error
	for _, f := range all {
		if f.file != nil {
			errs = append(errs, f.file.Close())
		}
	}
	return errors.Join(errs...)
}

func (f *follower) look() error {
	if f.file == nil {
		file, err := os.Open(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		f.file, f.buf = file, make([]byte, 0, followBlock)
	}
	n, err := f.file.ReadAt(f.buf[len(f.buf):cap(f.buf)], f.offset+int64(len(f.buf)))
	if err != nil && err != io.EOF {
		return err
	}
	if n > 0 {
		f.buf = f.buf[:len(f.buf)+n]
		f.see(time.Now().UnixNano())
	}
	return nil
}

// see notes every whole line. What is no line of ours is left to the check at the end.
func (f *follower) see(now int64) {
	rest := f.buf
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		f.offset += int64(i + 1)
		if m, err := lines.Parse(rest[:i]); err == nil {
			f.sightings = append(f.sightings, sighting{end: f.offset, stamped: m.Nanos, seen: now})
		}
		rest = rest[i+1:]
	}
	f.buf = f.buf[:copy(f.buf, rest)]
}
