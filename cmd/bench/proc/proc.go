package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrKilled says that a process had to be killed because it did not end in time.
var ErrKilled = errors.New("did not end in time, killed")

// Process is a running program.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended; err is set before
	err  error

	mu   sync.Mutex
	peak int64
}

// Start runs path with args; standard output and error go to the end of the file log.
func Start(name, log, path string, args ...string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	p := &Process{name: name, log: log, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// Name is what the process was started as.
func (p *Process) Name() string { return p.name }

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for its end and tells how it ended: nil for exit status 0.
func (p *Process) Wait() error {
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w%s", p.name, p.err, p.lastWords())
	}
	return nil
}

// Stop asks the process to end, as a service manager does, and waits for it. After grace it is killed and the error wraps ErrKilled.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.Wait()
	case <-time.After(grace):
		return errors.Join(fmt.Errorf("stop %s: %w%s", p.name, ErrKilled, p.lastWords()), p.Kill())
	}
}

// Kill ends the process at once and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// lastWords is the end of the log, for the message of an error.
func (p *Process) lastWords() string {
	data, err := os.ReadFile(p.log)
	if err != nil || len(data) == 0 {
		return ""
	}
	rows := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return "\n  " + strings.Join(rows[max(0, len(rows)-5):], "\n  ")
}

// Usage is what a process has used.
type Usage struct {
	CPU  time.Duration // user and system, since its start
	RSS  int64         // bytes, now
	Peak int64         // bytes, the most there were
}

// Usage tells what the process has used so far; what the system does not tell any more after its end is left out.
func (p *Process) Usage() Usage {
	u, err := usage(p.PID())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peak = max(p.peak, u.Peak)
	u.Peak = p.peak
	select {
	case <-p.done:
		u.RSS, u.CPU = 0, p.cmd.ProcessState.UserTime()+p.cmd.ProcessState.SystemTime()
	default:
		if err != nil {
			u = Usage{Peak: p.peak}
		}
	}
	return u
}
