package shipper

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	name   string
	rotate func(*rig)
	path   string
	state  string
	kept   int // rotated files that stay
	turn   int // rotations so far
	line   int

	table wire.Table
	came  map[uint64][]byte
	want  [][]byte // by file, the oldest first
	size  int      // of all

	store   *checkpoint.Store
	tailer  *tail.Tailer
	stretch *stretch
	kills   int
}

func newRig(t *testing.T, name string) *rig {
	t.Helper()
	g := &rig{
		t: t, r: rand.New(rand.NewPCG(seed(t), 1)), name: name, rotate: rotations[name], want: [][]byte{nil},
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
	cfg.Tick, cfg.Idle, cfg.Sweep, cfg.Find = time.Millisecond, time.Millisecond, time.Nanosecond, time.Hour
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
	g.stretch = &stretch{Shipper: &Shipper{tailer: g.tailer}}
	g.stretch.chain = checkpoint.Chain{Stream: w.Stream, Sequence: w.Head}
	g.stretch.unsaved = snapshot{changed: learned(positions, remembered), gone: gone}
	g.must(g.tailer.Recover(positions))
	if g.r.IntN(2) == 0 {
		g.save()
	}
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
	if s, any := g.stretch.snapshot(); any {
		g.must(g.store.Save(s.chain, s.changed, s.gone...))
	}
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
		had := g.came[c.Generation]
		if int64(len(had)) < c.Offset {
			g.t.Fatalf("after %d rotations and %d kills: chunk %+v, the chain holds %d bytes", g.turn, g.kills, c, len(had))
		}
		g.came[c.Generation] = append(had, data[min(c.Length, int64(len(had))-c.Offset):c.Length]...) // as an archive does
		data = data[c.Length:]
	}
	g.table.Apply(g.table.Sequence+1, &b.header)
	g.stretch.chain.Sequence = g.table.Sequence
	g.tailer.Acked(&b.tail)
	return true
}

// shipAll ships until all has come but so many bytes.
func (g *rig) shipAll(but int) {
	g.t.Helper()
	for end := time.Now().Add(time.Minute); g.size-g.arrived() > but; {
		if time.Now().After(end) {
			g.t.Fatalf("after %d rotations and %d kills: %d of %d bytes came; %+v", g.turn, g.kills, g.arrived(), g.size, g.tailer.SourceStats())
		}
		if !g.ship(1 << 20) {
			<-g.tailer.Wake()
		}
		if g.table.Sequence%100 == 0 {
			g.save()
		}
	}
}

// arrived is how many bytes came. More than were written are doubled.
func (g *rig) arrived() (n int) {
	g.t.Helper()
	for _, data := range g.came {
		n += len(data)
	}
	if n > g.size {
		g.t.Fatalf("after %d rotations and %d kills: %d bytes came, %d were written; numbers up to %d", g.turn, g.kills, n, g.size, g.table.Next(g.path)-1)
	}
	return n
}

// check compares everything. Where late bytes come the order of files that were rotated away between two looks is that of their last writing.
func (g *rig) check(ordered bool) {
	g.t.Helper()
	g.rotate(g) // late bytes are found when the directory is read
	g.write(0, 1)
	g.shipAll(0)
	var got, want []string
	for n := uint64(1); n < g.table.Next(g.path); n++ {
		got = append(got, string(g.came[n]))
	}
	for _, text := range g.want {
		want = append(want, string(text))
	}
	if !ordered {
		slices.Sort(got)
		slices.Sort(want)
	}
	if strings.Join(got, "") != strings.Join(want, "") {
		g.t.Errorf("after %d rotations and %d kills: what came differs from what was written", g.turn, g.kills)
	}
	if weight := g.table.Weight(); weight > 16<<10 {
		g.t.Errorf("the table weighs %d bytes", weight)
	}
	_, remembered, err := g.store.Load()
	g.must(err)
	if most := g.kept + 64 + 40; len(remembered) > most && g.name != "dated" {
		g.t.Errorf("the checkpoint holds %d generations, want at most %d", len(remembered), most)
	}
	g.t.Logf("%d rotations, %d kills, %d bytes, the table weighs %d, the checkpoint holds %d", g.turn, g.kills, g.size, g.table.Weight(), len(remembered))
}

func (g *rig) lines(n int) (text []byte) {
	for range n {
		g.line++
		text = fmt.Appendf(text, "%08d %0*d\n", g.line, 70+g.line%60, g.line)
	}
	return text
}

// write appends lines to the log, or to the file that was rotated away so many turns ago.
func (g *rig) write(ago, lines int) {
	g.t.Helper()
	path := g.path
	if ago > 0 {
		path = fmt.Sprintf("%s.%d", path, ago)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	g.must(err)
	text := g.lines(lines)
	_, err = f.Write(text)
	g.must(err)
	g.must(f.Close())
	i := len(g.want) - 1 - ago
	g.want[i] = append(g.want[i], text...)
	g.size += len(text)
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
	g.want = append(g.want, nil)
}

// fill makes all the rotated files that are kept at once.
func (g *rig) fill() {
	g.t.Helper()
	for ; g.turn < g.kept; g.turn++ {
		text := g.lines(1 + g.r.IntN(3))
		name := fmt.Sprintf("%s.%d", g.path, g.kept-g.turn)
		if g.name == "dated" {
			name = g.date(g.turn + 1)
		}
		g.must(os.WriteFile(name, text, 0o644))
		g.want, g.size = append(g.want[:g.turn], text, nil), g.size+len(text)
	}
	g.write(0, 1)
}

func (g *rig) date(turn int) string { return fmt.Sprintf("%s-20260101-%06d", g.path, turn) }

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

func dated(g *rig) {
	g.turn++
	g.want = append(g.want, nil)
	g.must(os.Rename(g.path, g.date(g.turn)))
}

// late rotates as logrotate does: the program goes on with the old file for a while when the next is there already. Now and then a process
// is found that has not let go of one for long.
func late(g *rig) {
	renamed(g)
	g.write(0, 1)
	g.write(1, 1+g.r.IntN(3))
	if g.r.IntN(4) == 0 {
		g.write(1+g.r.IntN(min(g.turn, g.kept-30)), 1) // what is deleted soon may not be noticed in time
	}
}

var rotations = map[string]func(*rig){"renamed": renamed, "copied": copied, "dated": dated, "late": late}

// live goes through so many rotations, with kills at any moment: before and after a checkpoint, in the middle of a generation and behind by some.
func (g *rig) live(rotations int, wipe bool) {
	g.t.Helper()
	g.kill()
	g.start()
	for end := g.turn + rotations; g.turn < end; {
		switch n := g.r.IntN(20); {
		case n < 6:
			g.write(0, 1+g.r.IntN(20))
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
			g.write(0, 1+g.r.IntN(5))
			g.rotate(g)
			g.write(0, 1)
		}
		if g.size-g.arrived() > 30<<10 {
			g.shipAll(10 << 10) // else what is deleted was not shipped
		}
	}
}

// A program keeps some rotated files, fewer than a table remembers, and is rotated more often than that.
func TestMoreRotationsThanATableRemembers(t *testing.T) {
	everyRotation(t, func(g *rig, late bool) {
		g.kept = 40
		g.live(rounds(200), true)
		g.check(!late)
	})
}

// A program keeps more rotated files than a table remembers.
func TestMoreRotatedFilesThanATableRemembers(t *testing.T) {
	everyRotation(t, func(g *rig, late bool) {
		g.kept = 150
		g.live(rounds(200), false)
		g.check(!late)
	})
}

// A program keeps a thousand: the agent finds them at its first look, and knows them after each kill.
func TestThousandRotatedFiles(t *testing.T) {
	everyRotation(t, func(g *rig, late bool) {
		g.kept = 1000
		if testing.Short() {
			g.kept = 200
		}
		g.fill()
		g.start()
		g.shipAll(0)
		g.live(10, false)
		g.check(!late)
	})
}

func everyRotation(t *testing.T, run func(g *rig, late bool)) {
	for name := range rotations {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "late" {
				t.Skip("one kind of rotation must do")
			}
			t.Parallel()
			run(newRig(t, name), name == "late")
		})
	}
}

func rounds(n int) int {
	if testing.Short() {
		return n / 2
	}
	return n
}

func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("LOGDRIVE_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LOGDRIVE_SEED=%d", n)
	return n
}
