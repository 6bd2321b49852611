package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	envScenario = "LOGDRIVE_TORTURE_SCENARIO"
	envDir      = "LOGDRIVE_TORTURE_DIR"
	envLines    = "LOGDRIVE_TORTURE_LINES"
)

// Main runs the scenario and ends the process if this is a writer's process.
func Main() {
	name := os.Getenv(envScenario)
	if name == "" {
		return
	}
	if err := write(name, os.Getenv(envDir), os.Getenv(envLines), listen(os.NewFile(toldFD, "told"))); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func write(name, dir, lines string, told *told) error {
	n, err := strconv.Atoi(lines)
	if err != nil {
		return err
	}
	for _, s := range Scenarios {
		if s.Name == name {
			return s.run(dir, n, told)
		}
	}
	return fmt.Errorf("no scenario %q", name)
}

// Files below the scenario's directory through which writer and test talk.
const (
	writtenFile = "written" // by the writer when it ends
	wantedFile  = "wanted"  // whether a reader is to run, 1 or 0
	upFile      = "up"      // whether one runs
)

// Process is a writer at work.
type Process struct {
	dir  string
	told *os.File
	cmd  *exec.Cmd
	done chan error
}

// Start begins to write about n lines below dir, which must be empty, in a process of its own.
func (s Scenario) Start(dir string, n int) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envScenario+"="+s.Name, envDir+"="+dir, envLines+"="+strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{in}
	if err := errors.Join(cmd.Start(), in.Close()); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	p := &Process{dir: dir, told: out, cmd: cmd, done: make(chan error, 1)} // the writer ends whoever asks
	go func() { p.done <- errors.Join(cmd.Wait(), out.Close()) }()
	return p, nil
}

// Arrived tells the writer the number of the last line that has come.
func (p *Process) Arrived(line int) error { return p.tell(message{Arrived: int64(line)}) }

// Behind tells the writer how many bytes the reader has seen in the log that it has not shipped.
func (p *Process) Behind(bytes int64) error { return p.tell(message{Behind: &bytes}) }

// Reader tells the writer in which process the reader is, if not in the one that started the writer.
func (p *Process) Reader(pid int) error { return p.tell(message{Reader: int64(pid)}) }

// tell says something to the writer, by a pipe: who writes to a file may wait for others' syncs, and who waits does not look at the log.
func (p *Process) tell(m message) error {
	err := json.NewEncoder(p.told).Encode(m)
	if errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.EPIPE) {
		return nil // the writer has ended and listens no more
	}
	return err
}

// WantsReader reports whether a reader is to run now. Where none is, it is to be killed; [Process.Up] tells that it was done.
func (p *Process) WantsReader() bool {
	n, ok := readNumber(filepath.Join(p.dir, wantedFile))
	return !ok || n != 0
}

// Up tells the writer whether a reader runs.
func (p *Process) Up(up bool) error {
	text := "0"
	if up {
		text = "1"
	}
	return os.WriteFile(filepath.Join(p.dir, upFile), []byte(text), 0o644)
}

func readNumber(path string) (n int, ok bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err = strconv.Atoi(strings.TrimSpace(string(data)))
	return n, err == nil
}

// Ended reports whether the writer has ended and what it wrote.
func (p *Process) Ended() (w Written, ended bool, err error) {
	select {
	case err := <-p.done:
		if err != nil {
			return w, true, fmt.Errorf("writer: %w", err)
		}
		w, err = loadWritten(p.dir)
		return w, true, err
	default:
		return w, false, nil
	}
}

// Stop ends the writer if it still runs.
func (p *Process) Stop() {
	if err := p.cmd.Process.Kill(); err == nil || !errors.Is(err, os.ErrProcessDone) {
		<-p.done
	}
}
