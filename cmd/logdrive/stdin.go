package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// interruptible reads a file until ctx ends, and then says that this is its end. A read of a pipe that nobody writes to blocks for ever, and closing the
// file does not end it: so it is read only when there is something, and nothing is taken from the pipe that is not spooled.
type interruptible struct {
	in  *os.File
	end *os.File // readable when ctx has ended
}

func newInterruptible(ctx context.Context, in *os.File) (*interruptible, func(), error) {
	end, ended, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { ended.Close() })
	return &interruptible{in: in, end: end}, func() {
		if stop() {
			ended.Close()
		}
		end.Close()
	}, nil
}

func (r *interruptible) Read(b []byte) (int, error) {
	fds := []unix.PollFd{{Fd: int32(r.in.Fd()), Events: unix.POLLIN}, {Fd: int32(r.end.Fd()), Events: unix.POLLIN}}
	for {
		switch _, err := unix.Poll(fds, -1); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case fds[1].Revents != 0:
			return 0, io.EOF
		case fds[0].Revents != 0:
			return r.in.Read(b)
		}
	}
}
