package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

const (
	syncBytes = 8 << 20   // a plain copy syncs as often as a receiver commits
	copyBlock = 256 << 10 // of its reads and writes
)

// plain is what the machine does with the same bytes when nobody cares about anything but them.
type plain struct {
	bytes int64
	took  time.Duration
	cpu   time.Duration
}

// machine measures the yardsticks: a copy with fsync, and a pipe over TCP into a file with fsync.
func (b *benchmark) machine(ctx context.Context, t *table) error {
	c, err := b.corpus(ctx, lines.Combined, 1)
	if err != nil {
		return err
	}
	from := c.wrote[0].Path
	to := filepath.Join(b.dir, "copy")
	defer os.Remove(to)
	for _, y := range []struct {
		name  string
		carry func(ctx context.Context, from, to string) (children time.Duration, err error)
	}{{"copy", copySynced}, {"pipe", pipe}} {
		begun, used := time.Now(), ownCPU()
		children, err := y.carry(ctx, from, to)
		if err != nil {
			return fmt.Errorf("%s: %w", y.name, err)
		}
		t.machine(y.name, plain{bytes: c.bytes, took: time.Since(begun), cpu: ownCPU() - used + children})
	}
	return nil
}

func copySynced(_ context.Context, from, to string) (time.Duration, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return 0, writeSynced(to, in)
}

// writeSynced writes what it reads to a new file and syncs it every syncBytes, and in the end.
func writeSynced(path string, in io.Reader) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	buf := make([]byte, copyBlock)
	var dirty int
	for err == nil {
		var n int
		n, err = in.Read(buf)
		if _, writeErr := out.Write(buf[:n]); writeErr != nil {
			return errors.Join(writeErr, out.Close())
		}
		if dirty += n; dirty >= syncBytes || err != nil {
			dirty = 0
			if syncErr := out.Sync(); syncErr != nil {
				return errors.Join(syncErr, out.Close())
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, out.Close())
}

// pipe sends the file through a TCP connection to another process, which writes it; it tells the CPU time that one used.
func pipe(ctx context.Context, from, to string) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	sink := exec.CommandContext(ctx, self, "sink", to)
	sink.Stderr = os.Stderr
	out, err := sink.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := sink.Start(); err != nil {
		return 0, err
	}
	sendErr := send(from, out)
	if sendErr != nil {
		sink.Process.Kill()
	}
	if err := errors.Join(sendErr, sink.Wait()); err != nil {
		return 0, err
	}
	return sink.ProcessState.UserTime() + sink.ProcessState.SystemTime(), nil
}

// send writes the file to the address that the sink prints.
func send(from string, printed io.Reader) error {
	address, err := bufio.NewReader(printed).ReadString('\n')
	if err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	conn, err := net.Dial("tcp", strings.TrimSpace(address))
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{in}, make([]byte, copyBlock))
	return errors.Join(err, conn.Close())
}

// sinkCommand is the other end of the pipe.
func sinkCommand() *cli.Command {
	return &cli.Command{Name: "sink", Hidden: true, Action: func(c *cli.Context) error {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer listener.Close()
		fmt.Fprintln(c.App.Writer, listener.Addr())
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		return writeSynced(c.Args().First(), conn)
	}}
}

// ownCPU is what this process has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
