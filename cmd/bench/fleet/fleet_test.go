package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

// TestMain plays logdrive: each role writes its arguments and its ports file and waits to be stopped.
func TestMain(m *testing.M) {
	if os.Getenv("FLEET_TEST") == "" {
		os.Exit(m.Run())
	}
	role, ports := os.Args[1], os.Args[3]
	if os.Getenv("FLEET_TEST") == role {
		fmt.Fprintln(os.Stderr, "bad luck")
		os.Exit(1)
	}
	text := fmt.Sprintf(`{"client":"nats://127.0.0.1:1","leaf":"nats-leaf://127.0.0.1:2","pid":%d}`, os.Getpid())
	if err := errors.Join(os.WriteFile(ports+".args", []byte(strings.Join(os.Args, " ")), 0o644), os.WriteFile(ports, []byte(text), 0o644)); err != nil {
		os.Exit(1)
	}
	time.Sleep(time.Minute)
}

func config(t *testing.T, fails string) fleet.Config {
	t.Setenv("FLEET_TEST", fails)
	return fleet.Config{Binary: os.Args[0], Dir: t.TempDir(), Codec: "s2"}
}

func TestStartWaitsForThePorts(t *testing.T) {
	f, err := fleet.Start(t.Context(), config(t, "none"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Kill()
	if err := f.StartAgent("h", "/some/path"); err != nil {
		t.Fatal(err)
	}
	if f.Hub.Client() != "nats://127.0.0.1:1" || len(f.Processes()) != 3 {
		t.Errorf("hub %s, %d processes", f.Hub.Client(), len(f.Processes()))
	}
	if err := f.Alive(); err != nil {
		t.Error(err)
	}
	if err := f.Hub.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := f.Alive(); err == nil || !strings.Contains(err.Error(), "hub") {
		t.Errorf("after a kill: %v", err)
	}
}

func TestStartTellsWhyARoleEnded(t *testing.T) {
	_, err := fleet.Start(t.Context(), config(t, "receiver"))
	if err == nil || !strings.Contains(err.Error(), "receiver") || !strings.Contains(err.Error(), "bad luck") {
		t.Errorf("got %v", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fleet.Start(ctx, config(t, "none")); err == nil {
		t.Error("no error")
	}
}

func TestArchivedCountsBytes(t *testing.T) {
	cfg := config(t, "none")
	f, err := fleet.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Kill()
	if n, err := f.Archived(); err != nil || n != 0 {
		t.Errorf("got %d, %v before there is an archive", n, err)
	}
	dir := filepath.Join(f.Archive(), "hosts", "h", "var")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a%00000001-000000000000000000"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("12345"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := f.Archived(); err != nil || n != 10 {
		t.Errorf("got %d, %v", n, err)
	}
}
