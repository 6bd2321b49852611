package shipper

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// rig is a log that is rotated for ever, and what the chain holds of it: the parts of an agent joined without a hub, so that hundreds of rotations and
// kills take seconds.
type rig struct {
	t      *testing.T
	r      *rand.Rand
	rotate func(*rig)
	path   string
	state  string
	kept   int // rotated files that stay
	turn   int // rotations so far
	line   int

	table wire.Table
	came  map[uint64][]byte
	want  []byte

	store    *checkpoint.Store
	chain    checkpoint.Chain
	tailer   *tail.Tailer
	finished []tail.Finished
	kills    int
}

func newRig(t *testing.T, seed uint64, kept int, rotate func(*rig)) *rig {
	t.Helper()
	g := &rig{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), rotate: rotate, kept: kept,
		path: filepath.Join(t.TempDir(), "app.log"), state: t.TempDir(), came: map[uint64][]byte{},
	}
	t.Cleanup(func() { g.kill() })
	return g
}

func (g *rig) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// start is what an agent does until it ships.
func (g *rig) start() {
	g.t.Helper()
	var err error
	g.store, err = checkpoint.Open(g.state, "web1", slog.New(slog.DiscardHandler))
	g.must(err)
	cfg := tail.DefaultConfig()
	cfg.Paths = []string{g.path}
	cfg.Tick, cfg.Idle, cfg.Sweep, cfg.Find = time.Nanosecond, time.Millisecond, time.Nanosecond, time.Hour
	cfg.Patience, cfg.Grace = 10*time.Millisecond, 20*time.Millisecond
	g.tailer, err = tail.New(cfg)
	g.must(err)
	chain, remembered, err := g.store.Load()
	g.must(err)
	g.must(g.tailer.Await(remembered))
	for range g.r.IntN(3) {
		g.must(g.tailer.Fill(&tail.Batch{}, tail.Limits{}))
	}
	g.recover(chain, remembered)
}

func (g *rig) recover(chain checkpoint.Chain, remembered []tail.Generation) {
	g.t.Helper()
	table := g.table.Clone()
	w := wire.Welcome{Stream: "LOGS-h-1-0", Head: table.Sequence, Table: &table}
	positions, gone := known(w, chain, remembered)
	g.chain = checkpoint.Chain{Stream: w.Stream, Sequence: w.Head}
	g.finished = gone
	g.must(g.tailer.Recover(positions))
}

func (g *rig) rewind() {
	g.t.Helper()
	chain, remembered, err := g.store.Load()
	g.must(err)
	g.recover(chain, remembered)
}

func (g *rig) kill() {
	g.t.Helper()
	if g.tailer == nil {
		return
	}
	g.kills++
	g.must(g.tailer.Close())
	g.must(g.store.Close())
	g.tailer = nil
}

// save writes the checkpoint, as happens once a second.
func (g *rig) save() {
	g.t.Helper()
	g.must(g.store.Save(g.chain, g.tailer.Known(), g.finished...))
	g.finished = nil
}

// ship takes one batch to the chain, or says that there is nothing.
func (g *rig) ship(limit int) bool {
	g.t.Helper()
	b := newBatch()
	g.must(g.tailer.Fill(&b.tail, tail.Limits{Bytes: limit, HeaderBytes: wire.MaxHeaders}))
	if b.tail.Empty() {
		return false
	}
	b.describe("w", g.table.Sequence+1)
	for _, m := range b.tail.Missing {
		g.t.Fatalf("after %d rotations and %d kills: declared missing: %+v", g.turn, g.kills, m)
	}
	data := b.tail.Data
	for _, c := range b.tail.Chunks {
		if had := g.came[c.Generation]; int64(len(had)) != c.Offset {
			g.t.Fatalf("after %d rotations and %d kills: chunk %+v, the chain holds %d bytes", g.turn, g.kills, c, len(had))
		}
		g.came[c.Generation] = append(g.came[c.Generation], data[:c.Length]...)
		data = data[c.Length:]
	}
	g.table.Apply(g.table.Sequence+1, &b.header)
	g.chain.Sequence = g.table.Sequence
	g.tailer.Acked(&b.tail)
	return true
}

// shipAll ships until all has come.
func (g *rig) shipAll() {
	g.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		if n := g.arrived(); n == len(g.want) {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("after %d rotations and %d kills: %d of %d bytes came; %+v", g.turn, g.kills, g.arrived(), len(g.want), g.tailer.SourceStats())
		}
		if !g.ship(1 << 20) {
			<-g.tailer.Wake()
		}
	}
}

// arrived is how many bytes came. More than were written are doubled.
func (g *rig) arrived() (n int) {
	g.t.Helper()
	for _, data := range g.came {
		n += len(data)
	}
	if n > len(g.want) {
		g.t.Fatalf("after %d rotations and %d kills: %d bytes came, %d were written; numbers up to %d", g.turn, g.kills, n, len(g.want), g.table.Next(g.path)-1)
	}
	return n
}

// check compares everything.
func (g *rig) check() {
	g.t.Helper()
	g.shipAll()
	var all []byte
	for n := uint64(1); n < g.table.Next(g.path); n++ {
		all = append(all, g.came[n]...)
	}
	if !bytes.Equal(all, g.want) {
		g.t.Errorf("after %d rotations and %d kills: what came differs from what was written", g.turn, g.kills)
	}
	if weight := g.table.Weight(); weight > 32<<10 {
		g.t.Errorf("the table weighs %d bytes", weight)
	}
}

func (g *rig) write(lines int) {
	g.t.Helper()
	var text []byte
	for range lines {
		g.line++
		text = fmt.Appendf(text, "%08d %0*d\n", g.line, 70+g.line%60, g.line)
	}
	f, err := os.OpenFile(g.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	g.must(err)
	_, err = f.Write(text)
	g.must(err)
	g.must(f.Close())
	g.want = append(g.want, text...)
}

// shift makes room for NAME.1.
func (g *rig) shift() {
	g.t.Helper()
	for n := min(g.kept, g.turn); n > 0; n-- {
		g.must(os.Rename(fmt.Sprintf("%s.%d", g.path, n), fmt.Sprintf("%s.%d", g.path, n+1)))
	}
	if g.turn >= g.kept {
		g.must(os.Remove(fmt.Sprintf("%s.%d", g.path, g.kept+1)))
	}
	g.turn++
}

func renamed(g *rig) {
	g.shift()
	g.must(os.Rename(g.path, g.path+".1"))
}

func copied(g *rig) {
	g.shift()
	from, err := os.Open(g.path)
	g.must(err)
	defer from.Close()
	to, err := os.Create(g.path + ".1")
	g.must(err)
	_, err = io.Copy(to, from)
	g.must(err)
	g.must(to.Close())
	g.must(os.Truncate(g.path, 0))
}

var rotations = map[string]func(*rig){"renamed": renamed, "copied": copied}

// live goes through so many rotations, with kills at any moment: before and after a checkpoint, in the middle of a generation and behind by some.
func (g *rig) live(rotations int, wipe bool) {
	g.t.Helper()
	g.start()
	for end := g.turn + rotations; g.turn < end; {
		switch n := g.r.IntN(20); {
		case n < 6:
			g.write(1 + g.r.IntN(20))
		case n < 12:
			g.ship(200 + g.r.IntN(4000))
		case n < 14:
			g.save()
		case n < 15:
			g.rewind()
		case n < 17:
			g.kill()
			if wipe && g.r.IntN(3) == 0 {
				g.must(os.RemoveAll(g.state))
			}
			g.start()
		default:
			g.write(1 + g.r.IntN(5))
			g.rotate(g)
			g.write(1)
		}
		if len(g.want)-g.arrived() > 30<<10 {
			g.shipAll() // else what is deleted was not shipped
		}
	}
	g.check()
}

// A program keeps some rotated files, fewer than a table remembers, and is rotated more often than that.
func TestMoreRotationsThanATableRemembers(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 120
	}
	for name, rotate := range rotations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newRig(t, 6, 40, rotate).live(rounds, false)
		})
	}
}
