package e2e_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cmd/e2e/torture"
)

// patience is how long a test waits for what must happen. It is generous, so that a slow machine is not a failure.
const patience = time.Minute

// work holds the binary; made and removed by TestMain.
var work string

// beside is how many tests run at the same time, at least: two cores are half idle with two.
const beside = 3

func TestMain(m *testing.M) {
	torture.Main()
	if err := flag.Set("test.parallel", strconv.Itoa(max(beside, runtime.GOMAXPROCS(0)))); err != nil { // what the command line says comes later
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if work, err = os.MkdirTemp("", "logdrive-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(work)
	return m.Run()
}

// build makes the binary that all tests share.
var build = sync.OnceValues(func() (string, error) { return compile("logdrive") })

func compile(name string, flags ...string) (path string, err error) {
	path = filepath.Join(work, name)
	args := append([]string{"build", "-o", path}, flags...)
	if raceEnabled || os.Getenv("LOGDRIVE_E2E_RACE") != "" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/logdrive/logdrive/cmd/logdrive")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

func binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	must(t, err)
	return path
}

// full says that the long form is wanted.
func full() bool { return os.Getenv("LOGDRIVE_CHAOS") == "full" }

// length is the figure for a run in CI, or ten times that.
func length(ci int) int {
	if full() {
		return 10 * ci
	}
	return ci
}

// slow skips a test that is too long for -short. The others run beside each other: most of their time is waiting.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
	t.Parallel()
}

// random is the source of every choice of a test.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LOGDRIVE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		must(t, err)
		seed = n
	}
	t.Logf("LOGDRIVE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0xe2e))
}

// tempDir is a directory for the test; LOGDRIVE_E2E_KEEP leaves that of a failed one.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "logdrive-e2e-test-")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("LOGDRIVE_E2E_KEEP") != "" {
			t.Logf("kept: %s", dir)
			return
		}
		must(t, os.RemoveAll(dir))
	})
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until polls until what is true.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// wait lets time pass: the schedule of a chaos test, never a way to wait for something.
func wait(r *rand.Rand, most time.Duration) { time.Sleep(upTo(r, most)) }

func upTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most) + 1))
}

// blackhole swallows what the links carry and opens new connections' way again.
func blackhole(p *clustertest.Proxy) {
	p.Blackhole()
	p.Heal()
}
