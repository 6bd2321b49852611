package torture

import (
	"os"
	"path/filepath"
)

// Scenario is one way to write a log.
type Scenario struct {
	Name string
	// Lossy: bytes are taken away that nobody can have. What comes must be clean all the same, and
	// the rest declared missing.
	Lossy bool
	// Races: they may come and go between two looks, so that nobody can know of them.
	Races bool
	// Deletes: files are removed that a reader can have only by the descriptors it
	// holds: it must not be restarted meanwhile.
	Deletes bool
	// Instant: files are rotated, packed and removed within one instant, ten in a row. Packing takes their birth times away: a reader that is
	// started in between has every byte, but cannot know their order.
	Instant bool
	// Counts: the writer waits until the reader is behind by a number of bytes.
	Counts bool
	// Unprivileged: it means something only if the reader is not root.
	Unprivileged bool

	late  bool   // the directory is not there at first
	path  string // of the log below the directory, logs/app.log if empty
	line  func(n int) []byte
	write func(*writer)
}

// Source is the path to tail when the scenario writes below dir.
func (s Scenario) Source(dir string) string {
	if s.path != "" {
		return filepath.Join(dir, s.path)
	}
	return filepath.Join(dir, "logs", "app.log")
}

// Scenarios are all of them. About n lines are written in each.
var Scenarios = []Scenario{
	{Name: "steady_append", write: steady},
	{Name: "full_speed_append", write: fullSpeed},
	{Name: "rename_create", write: func(w *writer) { rotate(w, func() { w.rename(w.dated(w.line)) }) }},
	{Name: "rename_create_fullspeed", write: renameFullSpeed},
	{Name: "rename_create_delay20ms", write: func(w *writer) { rotate(w, func() { w.shift(9); w.pause(20) }) }},
	{Name: "rename_latewriter_create", write: lateWriterCreate},
	{Name: "rename_latewriter_nocreate", write: lateWriterNoCreate},
	{Name: "copytruncate", write: func(w *writer) { copyTruncate(w, false) }},
	{Name: "copytruncate_readeruptodate", write: func(w *writer) { copyTruncate(w, true) }},
	{Name: "delete_recreate", Deletes: true, write: func(w *writer) { rotate(w, func() { w.held(); w.remove(w.path) }) }},
	{Name: "quick_rotations_20", write: func(w *writer) { quick(w, 20, func(i int) { w.rename(w.dated(w.line)) }) }},
	{Name: "quick_rotations_shift", write: func(w *writer) { quick(w, 20, func(int) { w.shift(40) }) }},
	{Name: "quick_delete_recreate_10", Deletes: true, Lossy: true, Races: true, write: func(w *writer) { quick(w, 10, func(int) { w.remove(w.path) }) }},
	{Name: "quick_gzip_10", Instant: true, write: func(w *writer) {
		quick(w, 10, func(int) { w.rename(w.dated(w.line)); w.gzip(w.dated(w.line)) })
	}},
	{Name: "rename_gzip_delete", write: renameGzip},
	{Name: "trunc_rewrite_smaller", write: func(w *writer) { rewrite(w, 40, 10) }},
	{Name: "trunc_rewrite_longer", write: func(w *writer) { rewrite(w, 20, 60) }},
	{Name: "symlink_switch", write: symlinkSwitch},
	{Name: "k8s_symlink_rotate", path: "containers/app.log", write: kubernetes},
	{Name: "partial_line_completed_later", write: partialLater},
	{Name: "partial_line_across_rename", write: partialRename},
	{Name: "long_lines_10MiB", line: long, write: longLines},
	{Name: "crlf", line: crlf, write: func(w *writer) { rotate(w, func() { w.shift(9) }) }},
	{Name: "binary_nul", line: binary, write: func(w *writer) { rotate(w, func() { w.shift(9) }) }},
	{Name: "not_yet_existing", late: true, write: notYet},
	{Name: "dir_removed_recreated", Deletes: true, write: dirRemoved},
	{Name: "perm_denied_newfile", Unprivileged: true, write: permFile},
	{Name: "perm_denied_dir", Unprivileged: true, write: permDir},
	{Name: "trunc_partial_line", Lossy: true, Counts: true, write: truncPartial},
	{Name: "trunc_race", Lossy: true, Races: true, write: truncRace},
	{Name: "trunc_while_away", Lossy: true, write: truncAway},
	{Name: "delete_while_away", Lossy: true, write: deleteAway},
}

func steady(w *writer) {
	for w.open(); w.more(); {
		w.spread(100, 5)
	}
}

func fullSpeed(w *writer) {
	w.n *= 5
	for w.open(); w.more(); {
		w.block(100)
	}
}

// rotate writes for some 25 ms, moves the log away, and opens the next.
func rotate(w *writer, away func()) {
	for w.open(); w.more(); w.open() {
		w.spread(100, 25)
		away()
	}
	w.lines(3)
}

func renameFullSpeed(w *writer) {
	w.n *= 5
	for i := 1; w.more(); i++ {
		w.open()
		for range 10 {
			w.block(20)
		}
		w.rename(w.dated(i))
	}
}

func lateWriterCreate(w *writer) {
	for w.open(); w.more(); w.open() {
		w.spread(50, 20)
		w.shift(9)
		f, err := os.Create(w.path)
		w.must(err)
		w.must(f.Close())
		w.spread(50, 20)
	}
	w.lines(3)
}

func lateWriterNoCreate(w *writer) {
	for w.open(); w.more(); w.open() {
		w.spread(50, 20)
		w.shift(9)
		w.spread(50, 20)
	}
	w.lines(3)
}

func copyTruncate(w *writer, upToDate bool) {
	w.open()
	for i := 1; w.more(); i++ {
		w.spread(100, 40)
		if upToDate {
			w.wait()
		}
		w.copyTo(w.dated(i))
		w.cut(true)
	}
	w.lines(3)
}

// quick rotates many times without a pause, then lets the reader look.
func quick(w *writer, times int, away func(i int)) {
	for w.more() {
		for i := range times {
			w.open()
			w.lines(30)
			away(i)
		}
		w.open()
		w.lines(30)
		w.pause(100)
	}
}

func renameGzip(w *writer) {
	for w.open(); w.more(); w.open() {
		w.spread(100, 20)
		old := w.dated(w.line)
		w.rename(old)
		w.open()
		w.spread(50, 10)
		w.gzip(old)
	}
	w.lines(3)
}

// rewrite overwrites the log in place, with less or more than it held. It waits before
// it does: what nobody has read is lost.
func rewrite(w *writer, before, after int) {
	w.open()
	for w.more() {
		w.block(before)
		w.wait()
		w.cut(false)
		w.block(after)
		w.wait()
		w.cut(false)
	}
}

func symlinkSwitch(w *writer) {
	for w.more() {
		target := w.dated(w.line)
		f, err := os.Create(target)
		w.must(err)
		w.must(f.Close())
		w.link(target)
		w.open()
		w.spread(100, 25)
	}
}

func kubernetes(w *writer) {
	pods := filepath.Join(w.dir, "pods", "pod_1")
	w.must(os.MkdirAll(pods, 0o755))
	target := filepath.Join(pods, "0.log")
	f, err := os.Create(target)
	w.must(err)
	w.must(f.Close())
	w.link(target)
	log := w.path
	w.path = target
	for w.open(); w.more(); w.open() {
		w.spread(100, 25)
		w.rename(w.dated(w.line))
	}
	w.lines(3)
	w.path = log
}

func partialLater(w *writer) {
	w.n /= 20
	for w.open(); w.more(); {
		p := w.next()
		w.put(p[:len(p)/2])
		w.pause(10)
		w.put(p[len(p)/2:])
	}
}

func partialRename(w *writer) {
	for w.open(); w.more(); w.open() {
		w.spread(100, 25)
		p := w.next()
		w.put(p[:len(p)/2])
		w.shift(9)
		w.pause(20)
		w.put(p[len(p)/2:])
	}
	w.lines(3)
}

func longLines(w *writer) {
	w.n = min(w.n, 40)
	for w.open(); w.more(); {
		w.lines(1)
	}
}

func notYet(w *writer) {
	w.pause(50)
	w.must(os.MkdirAll(filepath.Dir(w.path), 0o755))
	w.pause(20)
	steady(w)
}

func dirRemoved(w *writer) {
	dir := filepath.Dir(w.path)
	for w.more() {
		w.must(os.MkdirAll(dir, 0o755))
		w.open()
		w.spread(100, 25)
		w.held()
		w.must(os.RemoveAll(dir))
		w.history.end(Removed)
		w.pause(10)
	}
	w.must(os.MkdirAll(dir, 0o755))
	w.open()
	w.lines(3)
}

func permFile(w *writer) {
	w.open()
	for w.more() {
		w.spread(100, 25)
		w.shift(9)
		w.openAs(0)
		w.spread(50, 20)
		w.must(os.Chmod(w.path, 0o644))
	}
}

func permDir(w *writer) {
	dir := filepath.Dir(w.path)
	for w.open(); w.more(); w.open() {
		w.spread(50, 15)
		w.must(os.Chmod(dir, 0))
		w.spread(50, 20)
		w.must(os.Chmod(dir, 0o755))
		w.shift(9)
	}
	w.lines(3)
}

// truncPartial cuts a line away that was never completed: a reader has seen it and must not ship it.
func truncPartial(w *writer) {
	w.n /= 30
	for w.open(); w.more(); {
		w.lines(50)
		w.wait()
		w.seen(0)
		p := w.next()
		w.put(p[:len(p)/2])
		w.seen(len(p) / 2)
		w.history.gaveUp(len(p) - len(p)/2)
		w.cut(false)
	}
	w.lines(3)
}

// truncRace cuts the log without a copy and without asking whether anybody has read it.
func truncRace(w *writer) {
	for w.open(); w.more(); {
		w.spread(100, 20)
		w.cut(false)
	}
	w.lines(3)
}

// truncAway cuts the log while no reader runs: what was written since the last one was killed is gone, once and again.
func truncAway(w *writer) {
	w.n /= 5
	for w.open(); w.more(); {
		w.spread(50, 10)
		w.wait() // of a file that is in no checkpoint and not at the hub nobody knows
		w.spread(20, 5)
		w.reader(false)
		w.lines(50)
		w.cut(false)
		w.lines(100)
		w.cut(false)
		w.lines(20 + w.line%100)
		w.reader(true)
		w.spread(50, 10)
		w.wait()
	}
	w.lines(3)
}

// deleteAway removes the log while no reader runs, and a second one that no reader ever saw.
func deleteAway(w *writer) {
	w.n /= 5
	for w.open(); w.more(); {
		w.spread(50, 10)
		w.wait() // of a file that is in no checkpoint and not at the hub nobody knows
		w.spread(20, 5)
		w.reader(false)
		w.lines(50)
		old := w.dated(w.line)
		w.rename(old)
		w.remove(old)
		w.open()
		w.lines(30)
		w.remove(w.path)
		w.open()
		w.lines(30)
		w.reader(true)
		w.spread(50, 10)
		w.wait()
	}
	w.lines(3)
}
