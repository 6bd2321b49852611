package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/proc"
)

// role is a command of the binary, started again and again with the same flags.
type role struct {
	t       testing.TB
	name    string
	args    []string
	user    []string // command that runs it as another user, or in another environment; empty: as this one
	program string   // "": the binary that all tests share
	log     string   // file: standard output and error of all its processes
	ports   string   // file
	proc    *proc.Process
	said    int // bytes in the log when it was started last
	kills   int
}

// newRole makes a role that does not run yet. Its log is shown if the test fails, and its process ends with the test.
func newRole(t testing.TB, dir, name string, args ...string) *role {
	t.Helper()
	r := &role{t: t, name: name, log: filepath.Join(dir, name+".log"), ports: filepath.Join(dir, name+".ports")}
	r.args = append([]string{name, "--ports-file", r.ports}, args...)
	t.Cleanup(func() {
		if r.proc != nil {
			_ = r.proc.Kill()
		}
		for _, fault := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if r.logged(fault) {
				t.Errorf("%s: %s", name, fault)
			}
		}
		if t.Failed() {
			r.showLog()
		}
	})
	return r
}

// start runs it and does not wait until it is ready.
func (r *role) start() *role {
	r.t.Helper()
	if r.proc != nil {
		r.t.Fatalf("%s runs already", r.name)
	}
	var err error
	r.said = len(r.words())
	if r.program == "" {
		r.program = binary(r.t)
	}
	command := append(append(slices.Clone(r.user), r.program), r.args...)
	r.proc, err = proc.Start(r.name, r.log, command[0], command[1:]...)
	must(r.t, err)
	return r
}

// ready waits until it says that it is.
func (r *role) ready() fleet.Ports {
	r.t.Helper()
	var at fleet.Ports
	until(r.t, r.name+" is ready", func() bool {
		r.alive()
		var err error
		at, err = fleet.ReadPorts(r.ports)
		return err == nil && at.PID == r.proc.PID()
	})
	return at
}

func (r *role) running() bool { return r.proc != nil }

// alive fails the test if the process has ended by itself.
func (r *role) alive() {
	r.t.Helper()
	if r.proc == nil {
		return
	}
	select {
	case <-r.proc.Done():
		err := r.proc.Wait()
		r.proc = nil
		r.t.Fatalf("%s ended by itself: %v", r.name, err)
	default:
	}
}

// kill ends it at once, as power loss of its machine would but for the page cache.
func (r *role) kill() {
	r.t.Helper()
	r.alive()
	must(r.t, r.proc.Kill())
	r.proc, r.kills = nil, r.kills+1
}

// stop asks it to end, once it is up, and expects exit status 0.
func (r *role) stop() {
	r.t.Helper()
	r.ready()
	must(r.t, r.proc.Stop(patience))
	r.proc = nil
}

// ends waits until it ends by itself and gives its error.
func (r *role) ends() error {
	r.t.Helper()
	select {
	case <-r.proc.Done():
	case <-time.After(patience):
		r.t.Fatalf("%s does not end", r.name)
	}
	err := r.proc.Wait()
	r.proc = nil
	return err
}

func (r *role) restart() {
	r.t.Helper()
	r.kill()
	r.start()
}

// freeze stops it as SIGSTOP does; a thawed process does not know that time has passed.
func (r *role) freeze() { must(r.t, syscall.Kill(r.proc.PID(), syscall.SIGSTOP)) }

func (r *role) thaw() { must(r.t, syscall.Kill(r.proc.PID(), syscall.SIGCONT)) }

// words is the log of all its processes.
func (r *role) words() []byte {
	data, _ := os.ReadFile(r.log) // absent before the first start
	return data
}

// logged reports whether any of its processes has said the text.
func (r *role) logged(text string) bool { return bytes.Contains(r.words(), []byte(text)) }

// says is how often the process that was started last has said the text.
func (r *role) says(text string) int { return bytes.Count(r.words()[r.said:], []byte(text)) }

func (r *role) showLog() {
	rows := strings.Split(strings.TrimSpace(string(r.words())), "\n")
	r.t.Logf("end of the log of %s:\n%s", r.name, strings.Join(rows[max(0, len(rows)-40):], "\n"))
}
