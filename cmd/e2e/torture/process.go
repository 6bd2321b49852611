package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	if err := write(name, os.Getenv(envDir), os.Getenv(envLines)); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func write(name, dir, lines string) error {
	n, err := strconv.Atoi(lines)
	if err != nil {
		return err
	}
	for _, s := range Scenarios {
		if s.Name == name {
			return s.run(dir, n)
		}
	}
	return fmt.Errorf("no scenario %q", name)
}

// Process is a writer at work.
type Process struct {
	dir     string
	arrived *os.File
	cmd     *exec.Cmd
	done    chan error
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
	arrived, err := os.Create(filepath.Join(dir, "arrived"))
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, arrived.Close())
	}
	p := &Process{dir: dir, arrived: arrived, cmd: cmd, done: make(chan error, 1)} // the writer ends whoever asks
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// Arrived tells the writer how many lines have come so far. It writes in place: to make and
// rename a file may wait for others' syncs, and who waits does not look at the log.
func (p *Process) Arrived(lines int) error {
	_, err := p.arrived.WriteAt(fmt.Appendf(nil, "%020d", lines), 0)
	return err
}

// Ended reports whether the writer has ended and how many lines it wrote.
func (p *Process) Ended() (lines int, ended bool, err error) {
	select {
	case err := <-p.done:
		if err != nil {
			return 0, true, fmt.Errorf("writer: %w", err)
		}
		data, err := os.ReadFile(filepath.Join(p.dir, "written"))
		if err != nil {
			return 0, true, err
		}
		lines, err := strconv.Atoi(strings.TrimSpace(string(data)))
		return lines, true, err
	default:
		return 0, false, nil
	}
}

// Stop ends the writer if it still runs.
func (p *Process) Stop() {
	if err := p.cmd.Process.Kill(); err == nil || !errors.Is(err, os.ErrProcessDone) {
		<-p.done
	}
}
