package tail

import (
	"bytes"
	"fmt"
	"log/slog"
	"time"
)

// Tailer turns files into batches. One goroutine uses it; only the channel of
// Wake may be read by others.
type Tailer struct {
	cfg     Config
	log     *slog.Logger
	finder  *finder
	wake    *waker
	sources map[string]*source
	list    []*source // all, in the order in which they were found
	turn    int       // whose turn it is to fill
	swept   int       // how far the sweep over idle sources has come
	sweepAt time.Time
	findAt  time.Time
	changed []*generation
	open    int
	ready   bool
	busy    int
	once    map[string]bool
	scratch [checkBytes]byte
}

// New checks the configuration. It opens and starts nothing.
func New(cfg Config) (*Tailer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	return &Tailer{
		cfg:     cfg,
		log:     cfg.Logger.With("component", "tail"),
		finder:  newFinder(cfg),
		wake:    newWaker(cfg.Tick, cfg.Idle),
		sources: map[string]*source{},
	}, nil
}

// Wake tells that Fill may have something.
func (t *Tailer) Wake() <-chan struct{} { return t.wake.ready }

// Fill appends to b what can be read now. It does not block; b may hold
// something from an earlier Fill. It fails only before Recover.
func (t *Tailer) Fill(b *Batch, lim Limits) error {
	if !t.ready {
		return fmt.Errorf("fill: positions were not recovered")
	}
	now := time.Now()
	if now.After(t.findAt) {
		t.discover(now)
	}
	t.sweep(now)
	for t.round(b, lim, now) {
	}
	t.settle(now)
	return nil
}

// round gives every busy source one turn and reports whether to go on.
func (t *Tailer) round(b *Batch, lim Limits, now time.Time) bool {
	progress := false
	for range t.list {
		if len(b.Data) >= lim.Bytes {
			return false
		}
		s := t.list[t.turn%len(t.list)]
		t.turn++
		if s.busy && s.visit(b, lim, now) > 0 {
			progress = true
		}
	}
	return progress
}

// visit looks at a source if it is time to and takes what it has.
func (s *source) visit(b *Batch, lim Limits, now time.Time) int {
	if now.Sub(s.looked) >= s.tailer.cfg.Tick {
		s.look(now)
	}
	if s.scan || (!s.rescan.IsZero() && now.After(s.rescan)) {
		s.rescan = time.Time{}
		s.scanSiblings(now)
	}
	return s.fill(b, lim, now) + s.serveLate(b, lim, now)
}

// sweep looks at a share of the idle sources, so that each has its turn once in a while.
func (t *Tailer) sweep(now time.Time) {
	n := len(t.list)
	period := max(t.cfg.Sweep, time.Duration(n)*300*time.Microsecond)
	share := int(float64(n) * float64(now.Sub(t.sweepAt)) / float64(period))
	if t.sweepAt.IsZero() || share > n {
		share = n
	}
	if share == 0 {
		return
	}
	t.sweepAt = now
	for range share {
		s := t.list[t.swept%n]
		t.swept++
		if !s.busy && s.stirs(now) {
			s.busy = true
		}
	}
}

// stirs looks at an idle source and reports whether there is something to do.
func (s *source) stirs(now time.Time) bool {
	s.look(now)
	g := s.current()
	return s.scan || !s.rescan.IsZero() || len(s.queue) > 1 || len(s.late) > 0 ||
		(g != nil && (g.size > g.read || !g.sought.IsZero()))
}

// settle counts who stays busy.
func (t *Tailer) settle(now time.Time) {
	t.busy = 0
	for _, s := range t.list {
		if s.busy && s.isQuiet(now) {
			s.busy = false
		}
		if s.busy {
			t.busy++
		}
	}
	t.wake.setBusy(t.busy > 0)
}

func (s *source) isQuiet(now time.Time) bool {
	if s.scan || len(s.queue) > 1 || len(s.late) > 0 {
		return false
	}
	g := s.current()
	return g == nil || (g.sought.IsZero() && now.Sub(g.grew) >= s.tailer.cfg.Quiet)
}

// discover takes in the files that appeared.
func (t *Tailer) discover(now time.Time) {
	t.findAt = now.Add(t.cfg.Find)
	for _, f := range t.finder.find(func(p string) bool { return t.sources[p] != nil }) {
		t.add(f.path, f.judged).busy = true
	}
}

func (t *Tailer) add(path string, judged bool) *source {
	s := t.sources[path]
	if s == nil {
		s = &source{tailer: t, path: path, judged: judged, first: true, settled: map[inode]int64{}}
		t.sources[path] = s
		t.list = append(t.list, s)
	}
	return s
}

// Acked tells that the hub has the batch.
func (t *Tailer) Acked(b *Batch) {
	for _, c := range b.Chunks {
		t.acked(c.Source, c.Generation, c.Offset+c.Length)
	}
	for _, m := range b.Missing {
		t.acked(m.Source, m.Generation, max(m.From, m.To))
	}
}

func (t *Tailer) acked(path string, number uint64, offset int64) {
	s := t.sources[path]
	if s == nil {
		return
	}
	g := s.find(number)
	if g == nil || offset <= g.acked {
		return
	}
	g.acked = offset
	g.behind = time.Time{}
	if g.size > g.acked {
		g.behind = g.grew
	}
	g.touch()
}

// Archived tells that the archive holds a generation up to an offset.
func (t *Tailer) Archived(source string, generation uint64, offset int64) {}

// Known returns the acknowledged positions that changed since it was last called.
func (t *Tailer) Known() []Generation {
	known := make([]Generation, 0, len(t.changed))
	for _, g := range t.changed {
		g.changed = false
		known = append(known, g.known())
	}
	t.changed = t.changed[:0]
	return known
}

// Done reports, with Once, that all that was there is read.
func (t *Tailer) Done() bool {
	if !t.cfg.Once || !t.ready {
		return false
	}
	for _, s := range t.list {
		if s.scan || len(s.queue) > 0 || len(s.late) > 0 && !s.lateDone() {
			return false
		}
	}
	return true
}

func (s *source) lateDone() bool {
	for _, g := range s.late {
		if g.size > g.read {
			return false
		}
	}
	return true
}

// Close lets everything go.
func (t *Tailer) Close() error {
	t.wake.close()
	for _, s := range t.list {
		for _, gens := range [...][]*generation{s.queue, s.late} {
			for _, g := range gens {
				g.close()
			}
		}
	}
	return nil
}

func countLines(p []byte) int64 { return int64(bytes.Count(p, []byte{'\n'})) }
