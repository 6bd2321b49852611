package proc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/proc"
)

func TestMain(m *testing.M) {
	switch os.Getenv("PROC_TEST") {
	case "spin":
		for begun := time.Now(); time.Since(begun) < time.Minute; {
		}
	case "fail":
		os.Stderr.WriteString("no such luck\n")
		os.Exit(3)
	default:
		os.Exit(m.Run())
	}
}

func start(t *testing.T, how string) *proc.Process {
	t.Helper()
	t.Setenv("PROC_TEST", how)
	p, err := proc.Start("child", filepath.Join(t.TempDir(), "log"), os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

func TestUsageGrows(t *testing.T) {
	p := start(t, "spin")
	deadline := time.Now().Add(30 * time.Second)
	for p.Usage().CPU < 50*time.Millisecond {
		if time.Now().After(deadline) {
			t.Fatalf("a spinning process has used %+v", p.Usage())
		}
		time.Sleep(time.Millisecond)
	}
	if u := p.Usage(); u.RSS <= 0 || u.Peak < u.RSS {
		t.Errorf("got %+v", u)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if u := p.Usage(); u.CPU < 50*time.Millisecond || u.Peak <= 0 {
		t.Errorf("after its end: %+v", u)
	}
}

func TestWaitTellsTheLastWords(t *testing.T) {
	if err := start(t, "fail").Wait(); err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("got %v", err)
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	p := start(t, "spin")
	if err := p.Stop(0); err != nil && !errors.Is(err, proc.ErrKilled) && !strings.Contains(err.Error(), "signal") {
		t.Errorf("got %v", err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("still running")
	}
}

func TestStartOfNothing(t *testing.T) {
	if _, err := proc.Start("child", filepath.Join(t.TempDir(), "log"), "/no/such/program"); err == nil {
		t.Error("no error")
	}
}
