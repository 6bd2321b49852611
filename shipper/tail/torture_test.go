package tail_test

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/e2e/torture"
	"github.com/logdrive/logdrive/shipper/tail"
)

var seed = flag.Uint64("seed", 0, "seed of the random choices; 0 takes a new one")

func TestMain(m *testing.M) {
	torture.Main()
	m.Run()
}

// random returns a source of chance that a failed test can be run again with.
func random(t *testing.T) *rand.Rand {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("replay with -seed %d", n)
	return rand.New(rand.NewPCG(n, n))
}

// disturb is what a torture run does at random moments beside the scenario.
type disturb int

const (
	nothing disturb = iota
	setBack         // the batch in flight is lost, positions are asked for anew
	restart         // the tailer is gone, and another begins with what the hub or the checkpoint knows
)

// TestTorture holds the tailer against every scenario.
func TestTorture(t *testing.T) {
	runs, lines := 1, 600
	if testing.Short() {
		lines = 200
	}
	if os.Getenv("LOGDRIVE_TORTURE") == "full" {
		runs, lines = 20, 6000
	}
	for _, s := range torture.Scenarios {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			if s.Unprivileged && os.Geteuid() == 0 {
				asNobody(t)
				return
			}
			for range runs {
				t.Run("steady", func(t *testing.T) { tortureOnce(t, s, lines, nothing) })
				t.Run("set_back", func(t *testing.T) { tortureOnce(t, s, lines, setBack) })
				if !s.Deletes && !s.Instant {
					t.Run("restart", func(t *testing.T) { tortureOnce(t, s, lines, restart) })
				}
			}
		})
	}
}

// asNobody runs the same test again without the rights of root, which no
// permission stops.
func asNobody(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "torture")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o777))
	binary, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	self := filepath.Join(dir, "self")
	must(t, os.WriteFile(self, binary, 0o755))
	var args []string
	for _, a := range os.Args[1:] {
		if strings.HasPrefix(a, "-test.short") || strings.HasPrefix(a, "-test.v") {
			args = append(args, a)
		}
	}
	cmd := exec.Command(self, append(args, "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func tortureOnce(t *testing.T, s torture.Scenario, lines int, how disturb) {
	dir := t.TempDir()
	chance := random(t)
	path := s.Source(dir)
	cfg := config(path)
	cfg.Patience, cfg.Grace = 500*time.Millisecond, 500*time.Millisecond
	tl, h := start(t, cfg), newHub(t)
	p, err := s.Start(dir, lines)
	must(t, err)
	written, ended := 0, false
	defer func() {
		if !ended {
			p.Stop()
		}
	}()
	var b tail.Batch
	deadline := time.Now().Add(60 * time.Second)
	quiet := 0
	for !ended || quiet < 10 {
		if time.Now().After(deadline) {
			t.Fatalf("not done in time: %s, stats %+v", s.Check([]byte(h.all(path)), written), tl.Stats())
		}
		if !ended {
			written, ended, err = p.Ended()
			must(t, err)
		}
		b.Reset()
		must(t, tl.Fill(&b, limits))
		switch {
		case b.Empty():
			if ended && tl.Stats().Behind == 0 && (s.Lossy || h.lines(path) >= written) {
				quiet++
			}
			<-tl.Wake()
		case how == setBack && chance.IntN(8) == 0:
			must(t, tl.Recover(h.recovered(chance.IntN(2) == 0)))
		case how == restart && chance.IntN(8) == 0:
			must(t, tl.Close())
			tl = start(t, cfg, h.recovered(chance.IntN(2) == 0)...)
		default:
			h.take(&b)
			tl.Acked(&b)
			h.remember(tl.Known())
			must(t, p.Arrived(h.lines(path)))
		}
	}
	r := s.Check([]byte(h.all(path)), written)
	if !r.Clean() || (!s.Lossy && !r.Exact()) || h.missing() > 0 {
		t.Errorf("%s; declared missing %+v", r, h.miss)
		for _, g := range h.gens[path] {
			data := h.data[path][g.Number]
			t.Logf("generation %d %s, %d bytes, length %d, first %.9s, last %.30q", g.Number, g.Identity, len(data), g.Length, data, data[bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n')+1:])
		}
	}
}
