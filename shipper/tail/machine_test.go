package tail_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/logdrive/logdrive/shipper/tail"
)

// TestAnyHistoryArrivesExactly does to a log whatever comes to mind, looks and
// ships at random moments, sets positions back, and compares what the hub
// holds with what was written.
//
// A step that destroys bytes nobody could have read (deletion of what was never looked
// at, a cut of what is not acknowledged) is taken only after all has been shipped.
func TestAnyHistoryArrivesExactly(t *testing.T) {
	root := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := newMachine(rt, filepath.Join(root, fmt.Sprint(runs)))
		defer m.close()
		rt.Repeat(map[string]func(*rapid.T){
			"append":         m.appendLines,
			"append_part":    m.appendPart,
			"append_late":    m.appendLate,
			"rename":         m.rename,
			"rename_shift":   m.renameShift,
			"copytruncate":   m.copyTruncate,
			"truncate":       m.truncate,
			"delete":         m.remove,
			"gzip":           m.gzip,
			"ship":           m.ship,
			"ship_all":       func(*rapid.T) { m.shipAll() },
			"lose_in_flight": m.lose,
			"restart":        m.restart,
		})
		m.finish()
	})
}

// machine is the log, the tailer and the hub, and what must come.
type machine struct {
	rt    *rapid.T
	dir   string
	path  string
	tl    *tail.Tailer
	hub   *hub
	cur   *os.File // the program's descriptor
	old   *os.File // one that it has not let go
	part  bool     // an unterminated line was written to cur
	lines int
	want  []byte // all that must come, in order
	names int
	plain []string // rotated files that stand unpacked
	story []string // what was done, for a failure that time has a part in
}

func newMachine(rt *rapid.T, dir string) *machine {
	m := &machine{rt: rt, dir: dir, path: filepath.Join(dir, "app.log"), hub: newHub(rt)}
	m.must(os.MkdirAll(dir, 0o755))
	m.tl = m.newTailer()
	m.must(m.tl.Recover(nil))
	m.look() // what was packed before the first look is not shipped
	return m
}

func (m *machine) must(err error) {
	if err != nil {
		m.rt.Fatal(err)
	}
}

func (m *machine) newTailer() *tail.Tailer {
	cfg := config(m.path)
	cfg.Tick, cfg.Idle, cfg.Sweep, cfg.Find = time.Nanosecond, time.Millisecond, time.Nanosecond, time.Millisecond
	cfg.Patience, cfg.Grace = time.Nanosecond, time.Hour
	tl, err := tail.New(cfg)
	m.must(err)
	return tl
}

func (m *machine) close() {
	m.tl.Close()
	for _, f := range []*os.File{m.cur, m.old} {
		if f != nil {
			f.Close()
		}
	}
	os.RemoveAll(m.dir)
}

func (m *machine) did(format string, args ...any) {
	m.story = append(m.story, fmt.Sprintf(format, args...))
}

func (m *machine) line() []byte {
	m.lines++
	return fmt.Appendf(nil, "%06d %s\n", m.lines, bytes.Repeat([]byte("x"), 64+m.lines*7%90))
}

// open opens the log as its writer does after a rotation.
func (m *machine) open() {
	if m.cur != nil {
		return
	}
	m.tickOver()
	f, err := os.OpenFile(m.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	m.must(err)
	m.cur = f
}

func (m *machine) write(f *os.File, p []byte) {
	_, err := f.Write(p)
	m.must(err)
	m.want = append(m.want, p...)
}

func (m *machine) appendLines(rt *rapid.T) {
	m.open()
	if m.part {
		m.write(m.cur, []byte("completed\n"))
		m.part = false
	}
	var b []byte
	for range rapid.IntRange(1, 30).Draw(rt, "lines") {
		b = append(b, m.line()...)
	}
	m.did("append to %d", m.lines)
	m.write(m.cur, b)
}

func (m *machine) appendPart(*rapid.T) {
	m.open()
	m.did("append part")
	m.lines++
	m.write(m.cur, fmt.Appendf(nil, "%06d half a line, long enough to be told from another by what is in it ", m.lines))
	m.part = true
}

// appendLate writes to the file that was moved away, as a program does that was not told yet.
// The order is that of writing only while the successor has nothing.
func (m *machine) appendLate(rt *rapid.T) {
	if m.old == nil || m.cur != nil {
		rt.Skip("no late writer")
	}
	m.did("append late %d", m.lines+1)
	m.write(m.old, m.line())
}

// away makes the program's descriptor the late writer's.
func (m *machine) away() {
	m.tickOver()
	if m.old != nil {
		m.old.Close()
	}
	m.old, m.cur, m.part = m.cur, nil, false
}

func (m *machine) exists(rt *rapid.T) {
	if m.cur == nil {
		rt.Skip("no log")
	}
}

func (m *machine) rename(rt *rapid.T) {
	m.exists(rt)
	m.names++
	m.did("rename %d", m.names)
	to := fmt.Sprintf("%s-20260101-%06d", m.path, m.names)
	m.must(os.Rename(m.path, to))
	m.plain = append(m.plain, to)
	m.away()
}

func (m *machine) renameShift(rt *rapid.T) {
	m.exists(rt)
	m.did("shift")
	for i := 50; i > 0; i-- {
		from := fmt.Sprintf("%s.%d", m.path, i)
		if _, err := os.Lstat(from); err == nil {
			m.must(os.Rename(from, fmt.Sprintf("%s.%d", m.path, i+1)))
		}
	}
	m.must(os.Rename(m.path, m.path+".1"))
	m.away()
}

func (m *machine) copyTruncate(rt *rapid.T) {
	m.exists(rt)
	m.names++
	to := fmt.Sprintf("%s-20260101-%06d", m.path, m.names)
	data, err := os.ReadFile(m.path)
	m.must(err)
	if len(data) == 0 {
		rt.Skip("nothing to copy")
	}
	m.did("copy %d", m.names)
	if rapid.Bool().Draw(rt, "seen_half") {
		m.look()
	}
	m.tickOver()
	m.must(os.WriteFile(to, data[:len(data)/2], 0o644))
	if rapid.Bool().Draw(rt, "seen_in_the_making") {
		m.look()
	}
	m.must(os.WriteFile(to, data, 0o644))
	if rapid.Bool().Draw(rt, "seen_before_the_cut") {
		m.look()
	}
	m.must(m.cur.Truncate(0))
	m.did("cut")
	m.tickOver()
	m.part = false
}

// tickOver waits for the file system's clock: it is coarse, and generations are
// ordered by it.
func (m *machine) tickOver() {
	probe := filepath.Join(m.dir, "probe")
	var began time.Time
	for {
		m.must(os.WriteFile(probe, nil, 0o644))
		st, err := os.Stat(probe)
		m.must(err)
		m.must(os.Remove(probe))
		if began.IsZero() {
			began = st.ModTime()
		}
		if st.ModTime().After(began) {
			return
		}
	}
}

// truncate cuts the log and maybe writes more than there was, at once.
func (m *machine) truncate(rt *rapid.T) {
	m.exists(rt)
	if m.part {
		rt.Skip("half a line would be cut")
	}
	m.shipAll()
	m.did("truncate")
	m.must(m.cur.Truncate(0))
	if rapid.Bool().Draw(rt, "rewrite") {
		m.appendLines(rt)
	}
}

func (m *machine) remove(rt *rapid.T) {
	m.exists(rt)
	if m.part {
		rt.Skip("half a line would be lost by a restart")
	}
	m.shipAll()
	m.did("remove")
	m.must(os.Remove(m.path))
	m.away()
	m.old.Close()
	m.old = nil
}

// gzip packs the oldest rotated file.
func (m *machine) gzip(rt *rapid.T) {
	if len(m.plain) == 0 || len(m.hub.gens) == 0 || m.old != nil && len(m.plain) == 1 && m.cur == nil {
		rt.Skip("nothing to pack")
	}
	m.did("gzip %s", filepath.Ext(m.plain[0]))
	gzipFile(m.rt, m.plain[0])
	m.plain = m.plain[1:]
}

func (m *machine) look() {
	m.did("look")
	var b tail.Batch
	m.must(m.tl.Fill(&b, tail.Limits{}))
	if !b.Empty() {
		m.rt.Fatalf("a full batch was added to: %+v", b)
	}
}

func (m *machine) fill(bytes int) *tail.Batch {
	var b tail.Batch
	m.must(m.tl.Fill(&b, tail.Limits{Bytes: bytes, HeaderBytes: 48 << 10}))
	if len(b.Data) > bytes {
		m.rt.Fatalf("%d bytes, limit %d", len(b.Data), bytes)
	}
	return &b
}

func (m *machine) take(b *tail.Batch) {
	if !b.Empty() {
		m.did("ship %v %v", b.Opens, b.Chunks)
	}
	m.hub.take(b)
	m.tl.Acked(b)
	m.hub.remember(m.tl.Known())
	m.compare(false)
}

func (m *machine) ship(rt *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(rt, "batches") {
		m.take(m.fill(rapid.IntRange(300, 5000).Draw(rt, "limit")))
	}
}

// lose has a batch made that never gets anywhere; the positions are asked for anew.
func (m *machine) lose(rt *rapid.T) {
	m.fill(rapid.IntRange(300, 5000).Draw(rt, "limit"))
	m.did("recover")
	m.must(m.tl.Recover(m.hub.recovered(rapid.Bool().Draw(rt, "local"))))
}

// restart ends the tailer as a kill does, and starts another.
func (m *machine) restart(rt *rapid.T) {
	if m.part && m.old != nil {
		rt.Skip("late bytes of two")
	}
	m.must(m.tl.Close())
	m.tl = m.newTailer()
	m.did("recover")
	m.must(m.tl.Recover(m.hub.recovered(rapid.Bool().Draw(rt, "local"))))
}

// shipAll ships until all has come but an unterminated line.
func (m *machine) shipAll() {
	deadline := time.Now().Add(10 * time.Second)
	for len(m.hub.all(m.path)) < len(m.due()) {
		if time.Now().After(deadline) {
			m.compare(true)
			m.rt.Fatalf("not shipped: %+v", m.tl.SourceStats())
		}
		m.take(m.fill(1 << 20))
	}
}

// due is what must have come: the line that is being written may wait.
func (m *machine) due() []byte {
	return m.want[:bytes.LastIndexByte(m.want, '\n')+1]
}

func (m *machine) compare(whole bool) {
	got := m.hub.all(m.path)
	for _, miss := range m.hub.miss {
		if miss.To >= 0 { // a file that went while nobody looked may have grown
			m.rt.Fatalf("declared missing: %+v; story %v", m.hub.miss, m.story)
		}
	}
	if !bytes.HasPrefix(m.want, []byte(got)) || (whole && len(got) < len(m.due())) {
		at := 0
		for at < len(got) && at < len(m.want) && got[at] == m.want[at] {
			at++
		}
		m.rt.Fatalf("differs at byte %d of %d: got %.40q, want %.40q; generations %v; story %v", at, len(m.want), got[at:], m.want[at:], m.describe(), m.story)
	}
}

func (m *machine) describe() (out []string) {
	for _, g := range m.hub.gens[m.path] {
		out = append(out, fmt.Sprintf("%d: %d bytes, length %d, %.6s", g.Number, len(m.hub.data[m.path][g.Number]), g.Length, m.hub.data[m.path][g.Number]))
	}
	return out
}

func (m *machine) finish() {
	m.shipAll()
	m.compare(true)
	for range 5 {
		m.take(m.fill(1 << 20))
	}
}
