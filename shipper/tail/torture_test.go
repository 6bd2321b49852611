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
	r := &rack{t: t, scenario: s, how: how, chance: random(t), path: s.Source(dir), cfg: config(s.Source(dir)), hub: newHub(t)}
	r.cfg.Patience, r.cfg.Grace = 500*time.Millisecond, 500*time.Millisecond
	r.tailer = start(t, r.cfg)
	must(t, r.tailer.Fill(&tail.Batch{}, tail.Limits{})) // what is packed before the first look is history
	p, err := s.Start(dir, lines)
	must(t, err)
	r.process = p
	ended := false
	defer func() {
		if !ended {
			p.Stop()
		}
	}()
	r.moved = time.Now()
	quiet := 0
	for !ended || quiet < 10 {
		if time.Since(r.moved) > 3*time.Minute {
			r.judge()
			t.Fatalf("not done in time: stats %+v", r.tailer.Stats())
		}
		if !ended {
			r.written, ended, err = p.Ended()
			must(t, err)
		}
		switch {
		case !r.obey():
			time.Sleep(time.Millisecond) // nothing but the writer's wish tells when to go on
		case r.turn():
		case ended && r.complete():
			quiet++
		}
	}
	r.judge()
}

// rack is one scenario at work on a tailer.
type rack struct {
	t        *testing.T
	scenario torture.Scenario
	how      disturb
	chance   *rand.Rand
	path     string
	cfg      tail.Config
	tailer   *tail.Tailer // nil while the scenario wants no reader
	hub      *hub
	process  *torture.Process
	written  torture.Written
	batch    tail.Batch
	moved    time.Time     // when anything came
	filled   time.Time     // when Fill returned last
	blind    time.Duration // longest time between two looks
	slow     time.Duration // longest look
}

// obey kills or starts the tailer as the scenario wants it, and reports whether one runs.
func (r *rack) obey() bool {
	wanted := r.process.WantsReader()
	switch {
	case wanted && r.tailer == nil:
		r.tailer = start(r.t, r.cfg, r.known()...)
	case !wanted && r.tailer != nil:
		must(r.t, r.tailer.Close())
		r.tailer = nil
	default:
		return wanted
	}
	must(r.t, r.process.Up(wanted))
	return wanted
}

// known is what the hub tells, joined with the checkpoint as often as not.
func (r *rack) known() []tail.Generation { return r.hub.recovered(r.chance.IntN(2) == 0) }

// turn ships what is there and reports whether there was anything.
func (r *rack) turn() bool {
	r.batch.Reset()
	began := time.Now()
	if !r.filled.IsZero() {
		r.blind = max(r.blind, began.Sub(r.filled))
	}
	must(r.t, r.tailer.Fill(&r.batch, limits))
	r.filled = time.Now()
	r.slow = max(r.slow, r.filled.Sub(began))
	must(r.t, r.process.Behind(r.tailer.Stats().Behind))
	switch {
	case r.batch.Empty():
		<-r.tailer.Wake()
		return false
	case r.how == setBack && r.chance.IntN(8) == 0:
		must(r.t, r.tailer.Recover(r.known()))
	case r.how == restart && len(r.hub.gens) > 0 && r.chance.IntN(8) == 0: // to one that knows nothing all that was packed before is history
		must(r.t, r.tailer.Close())
		r.tailer = start(r.t, r.cfg, r.known()...)
	default:
		r.moved = time.Now()
		r.hub.take(&r.batch)
		r.tailer.Acked(&r.batch)
		r.hub.remember(r.tailer.Known())
		must(r.t, r.process.Arrived(r.scenario.Last(r.hub.last(r.path))))
	}
	return true
}

// complete says that nothing more can come. Where lines are lost, the last one tells.
func (r *rack) complete() bool {
	if r.tailer.Stats().Behind > 0 {
		return false
	}
	if r.scenario.Lossy {
		return r.scenario.Last(r.hub.last(r.path)) == r.written.Lines
	}
	return r.hub.lines(r.path) >= r.written.Lines
}

// judge compares what came with what was written, line by line and byte by byte of every file.
func (r *rack) judge() {
	s, h := r.scenario, r.hub
	report := s.Check([]byte(h.all(r.path)), r.written.Lines)
	account := s.Account(r.written, h.generations(r.path))
	r.t.Logf("%s; %s; %v between two looks, %v in one, at most", report, account, r.blind, r.slow)
	if report.Clean() && (s.Lossy || report.Exact() && h.missing() == 0) && len(account.Faults) == 0 {
		return
	}
	r.t.Errorf("declared missing %+v", h.miss)
	for _, g := range h.gens[r.path] {
		data := h.data[r.path][g.Number]
		r.t.Logf("generation %d %s, %d bytes, length %d, first %.9s, last %.30q", g.Number, g.Identity, len(data), g.Length, data, data[bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n')+1:])
	}
}
