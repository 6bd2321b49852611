package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is for machines that do much else.
const patience = 2 * time.Minute

var work string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	work = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the program as the image does.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(work, "logdrive")
	command := strings.ReplaceAll(imageBuild(), imageOutput, path)
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOFLAGS=") // the race detector needs cgo
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return path, nil
})

func program(t *testing.T) string {
	t.Helper()
	path, err := build()
	must(t, err)
	return path
}

// help is what a command says of itself.
func help(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(program(t), append(command, "--help")...).CombinedOutput()
	must(t, err)
	return string(out)
}

// hubStarts runs a hub's command line until it opens its store, which cannot be opened: all before that was taken. Beside the store only what this machine lacks
// or would share with other tests is replaced.
func hubStarts(t *testing.T, env []string, args ...string) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "file"), "no directory")
	args = with(t, args, "store", filepath.Join(file, "store"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(file)) || !bytes.Contains(out, []byte("not a directory")) {
		t.Errorf("logdrive %s: %v, want that the store cannot be opened\n%s", strings.Join(args, " "), err, out)
	}
}

// receiverStarts runs a receiver's command line until it looks for its hub, which is not there, and gives what it logged.
func receiverStarts(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Env = append(os.Environ(), env...)
	logged, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	defer logged.Close()
	cmd.Stderr = logged
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		said := read(t, logged.Name())
		select {
		case err := <-ended:
			t.Fatalf("logdrive %s ended: %v\n%s", strings.Join(args, " "), err, said)
		case <-time.After(50 * time.Millisecond):
		}
		if strings.Contains(said, "hub is not reached") {
			must(t, cmd.Process.Signal(os.Interrupt))
			if err := <-ended; err != nil {
				t.Errorf("logdrive %s does not end well: %v\n%s", strings.Join(args, " "), err, read(t, logged.Name()))
			}
			return said
		}
	}
}

// with replaces the value of a flag.
func with(t *testing.T, args []string, name, value string) []string {
	t.Helper()
	args = slices.Clone(args)
	at := slices.Index(args, "--"+name)
	if at < 0 {
		return append(args, "--"+name, value)
	}
	args[at+1] = value
	return args
}

// flag is the value of a flag in a command line.
func flag(t *testing.T, args []string, name string) string {
	t.Helper()
	at := slices.Index(args, "--"+name)
	if at < 0 || at+1 == len(args) {
		t.Fatalf("%s has no --%s", strings.Join(args, " "), name)
	}
	return args[at+1]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

// below says that a path is absolute and inside of a directory, not that itself.
func below(dir, path string) bool {
	return filepath.IsAbs(dir) && strings.HasPrefix(filepath.Clean(path), filepath.Clean(dir)+"/")
}
