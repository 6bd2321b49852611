package tail

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Tailer turns files into batches. One goroutine uses it; only the channel of
// Wake may be read by others.
type Tailer struct {
	cfg    Config
	log    *slog.Logger
	finder *finder
	lister lister
	holder *holder // nil: nothing is held
	waker  *waker
	notify *notifier // nil: everything is polled

	ready      bool
	waits      bool // for positions: nothing may be said yet
	sources    map[string]*source
	absent     map[string]bool // directories that could not be watched
	list       []*source       // in the order in which they were found
	busy       []*source       // those that are looked at on every tick
	waiting    []*source       // those that are to be opened when there is room
	owners     map[inode]*source
	ownersMost int                // so many of them, and they are looked through
	stems      map[string]*source // where links lead
	turn       int                // whose turn it is to fill
	changed    []*generation      // since Known was last called
	departed   []Finished         // since Departed was last called
	open       int                // bodies held
	loose      map[body]struct{}  // opened to be compared, held by nobody

	used    uint64              // generation numbers up to this were given to sources that are forgotten
	refused map[*source][]inode // files of sources that must not be begun

	swept    int // how far the sweep over idle sources has come
	sweptAt  time.Time
	shedding int // whose file is closed next where descriptors are short

	findAt    time.Time
	findCost  time.Duration
	searching bool
	found     chan findings // of the one search under way
	searches  sync.WaitGroup

	scratch [checkBytes]byte
}

// New checks the configuration. It opens and starts nothing.
func New(cfg Config) (*Tailer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	t := &Tailer{
		cfg:     cfg,
		log:     cfg.Logger.With("component", "tail"),
		finder:  newFinder(cfg),
		lister:  lister{dirs: map[string]*listing{}},
		waker:   newWaker(cfg.Tick, cfg.Idle),
		sources: map[string]*source{},
		absent:  map[string]bool{},
		owners:  map[inode]*source{},
		loose:   map[body]struct{}{},
		stems:   map[string]*source{},
		refused: map[*source][]inode{},
		found:   make(chan findings, 1), // a search ends whether or not anyone asks for it
	}
	if cfg.Hold {
		t.holder = newHolder(cfg.HoldDir)
	}
	return t, nil
}

// start begins to watch, once.
func (t *Tailer) start() error {
	if t.ready {
		return nil
	}
	if t.holder != nil {
		if err := t.holder.load(); err != nil {
			return err
		}
	}
	notify, err := newNotifier(t.waker.wake)
	if err != nil {
		t.log.Warn("no watches: idle files are polled", "err", err)
	}
	t.notify = notify
	t.waker.start()
	t.ready = true
	return nil
}

// Wake tells that Fill may have something.
func (t *Tailer) Wake() <-chan struct{} { return t.waker.ready }

// Fill appends to b what can be read now. It does not block; b may hold
// something from an earlier Fill. It fails only before Recover or Await.
//
// Fill also looks after the files: it holds what rotation left and finds what is new. So it is to
// be called on every Wake even while b is full; it then reads nothing. Nor does it
// between Await and Recover.
func (t *Tailer) Fill(b *Batch, lim Limits) error {
	if !t.ready {
		return errors.New("fill: positions were not recovered")
	}
	if t.waits {
		lim = Limits{}
	}
	now := time.Now()
	t.takeEvents(now)
	t.search(now)
	t.sweep(now)
	t.admit(now)
	if !lim.NoNew && lim.HeaderBytes > 0 {
		t.admitRefused()
	}
	for t.round(b, lim, now) {
	}
	t.settle(now)
	return nil
}

// round gives every busy source one turn and reports whether to go on.
func (t *Tailer) round(b *Batch, lim Limits, now time.Time) bool {
	progress := false
	for range t.busy {
		s := t.busy[t.turn%len(t.busy)]
		t.turn++
		if s.visit(b, lim, now) > 0 {
			progress = true
		}
	}
	return progress && len(b.Data) < lim.Bytes
}

// Acked tells that the hub has the batch.
func (t *Tailer) Acked(b *Batch) {
	for _, c := range b.Chunks {
		t.acked(c.Source, c.Generation, c.Offset+c.Length, c.Check)
	}
	for _, m := range b.Missing {
		t.acked(m.Source, m.Generation, max(m.From, m.To), Check{})
	}
}

func (t *Tailer) acked(path string, number uint64, offset int64, check Check) {
	s := t.sources[path]
	if s == nil {
		return
	}
	g := s.find(number)
	if g == nil || offset <= g.acked {
		return
	}
	g.acked, g.ackedCheck = offset, check
	g.behind = time.Time{}
	if g.size > g.acked {
		g.behind = g.grew
	}
	g.touch()
}

// Known returns the acknowledged positions that changed since it was last
// called. Of a generation that ended, Length is set; its Offset may lag behind.
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
	if !t.cfg.Once || !t.ready || t.searching || len(t.waiting) > 0 {
		return false
	}
	for _, s := range t.list {
		if s.scan || len(s.queue) > 0 || s.unread(s.late) {
			return false
		}
	}
	return true
}

// Close lets everything go.
func (t *Tailer) Close() error {
	t.searches.Wait()
	t.notify.close()
	t.notify = nil
	t.waker.close()
	for _, s := range t.list {
		s.each(func(g *generation) { g.close() })
	}
	return nil
}
