package torture

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// writer writes one scenario. The first error ends it.
type writer struct {
	scenario Scenario
	dir      string
	path     string // of the log
	n        int    // about how many lines to write
	line     int    // begun last
	f        *os.File
	history  history
	told     *told
	shifts   []int // lines begun at each shift
}

// stop ends a scenario from within.
type stop struct{ err error }

func (s Scenario) run(dir string, n int, told *told) (err error) {
	defer func() {
		if p := recover(); p != nil {
			end, ok := p.(stop)
			if !ok {
				panic(p)
			}
			err = end.err
		}
	}()
	w := &writer{scenario: s, dir: dir, path: s.Source(dir), n: n, told: told}
	if !s.late {
		w.must(os.MkdirAll(filepath.Dir(w.path), 0o755))
	}
	s.write(w)
	if w.f != nil {
		w.must(w.f.Close())
	}
	return w.history.save(dir, w.line)
}

func (w *writer) must(err error) {
	if err != nil {
		panic(stop{err})
	}
}

func (w *writer) more() bool { return w.line < w.n }

// open opens the log anew, as a program does that was told to.
func (w *writer) open() { w.openAs(0o644) }

func (w *writer) openAs(mode os.FileMode) {
	if w.f != nil {
		w.must(w.f.Close())
	}
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, mode)
	w.must(err)
	w.f = f
	st, err := f.Stat()
	w.must(err)
	w.must(w.history.opened(st.Size()))
}

func (w *writer) next() []byte {
	w.line++
	return w.scenario.Line(w.line)
}

// lines writes k lines, each by a write of its own.
func (w *writer) lines(k int) {
	for range k {
		w.put(w.next())
	}
}

// block writes k lines at once.
func (w *writer) block(k int) {
	var b bytes.Buffer
	for range k {
		b.Write(w.next())
	}
	w.put(b.Bytes())
}

func (w *writer) put(p []byte) {
	_, err := w.f.Write(p)
	w.must(err)
	w.history.wrote(len(p))
}

func (w *writer) pause(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }

// spread writes k lines over about ms milliseconds.
func (w *writer) spread(k, ms int) {
	for range ms {
		w.lines(max(1, k/ms))
		w.pause(1)
	}
}

// rename moves the log away.
func (w *writer) rename(to string) { w.must(os.Rename(w.path, to)) }

// numbered is a name that a rotation by count gives.
func (w *writer) numbered(i int) string { return fmt.Sprintf("%s.%d", w.path, i) }

// dated is a name that a rotation by time gives.
func (w *writer) dated(i int) string { return fmt.Sprintf("%s-20260101-%06d", w.path, i) }

// shift renames a row of rotated logs, .1 to .2 and so on, and the log to .1. The last of them is deleted when its lines have arrived: how
// far behind a reader may be is not what this is about.
func (w *writer) shift(keep int) {
	if oldest := len(w.shifts) - keep; oldest >= 0 {
		w.arrived(w.shifts[oldest+1] - 1) // what its late writer had begun by then may be another's
		w.must(os.Remove(w.numbered(keep)))
	}
	w.shifts = append(w.shifts, w.line)
	for i := keep - 1; i > 0; i-- {
		if err := os.Rename(w.numbered(i), w.numbered(i+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.must(err)
		}
	}
	w.rename(w.numbered(1))
}

// copyTo copies the log, as copytruncate does before it truncates.
func (w *writer) copyTo(to string) {
	in, err := os.Open(w.path)
	w.must(err)
	defer in.Close()
	out, err := os.Create(to)
	w.must(err)
	_, err = io.Copy(out, in)
	w.must(err)
	w.must(out.Close())
}

// gzip packs a file as gzip(1) does: beside it, with its time, then removes it.
func (w *writer) gzip(path string) {
	data, err := os.ReadFile(path)
	w.must(err)
	st, err := os.Stat(path)
	w.must(err)
	out, err := os.Create(path + ".gz")
	w.must(err)
	z := gzip.NewWriter(out)
	_, err = z.Write(data)
	w.must(err)
	w.must(z.Close())
	w.must(out.Close())
	w.must(os.Chtimes(path+".gz", st.ModTime(), st.ModTime()))
	w.must(os.Remove(path))
}

// link makes the log a symbolic link, at once even where it is one already.
func (w *writer) link(target string) {
	w.must(os.Symlink(target, w.path+".new"))
	w.must(os.Rename(w.path+".new", w.path))
}

// cut truncates the log in place: the next that stands in the same file begins. Where a copy was made before, nothing is gone.
func (w *writer) cut(copied bool) {
	w.must(os.Truncate(w.path, 0))
	if !copied {
		w.history.end(Cut)
	}
	w.must(w.history.opened(0))
}

// remove deletes the log, or what it was renamed to.
func (w *writer) remove(path string) {
	w.must(os.Remove(path))
	w.history.end(Removed)
}

// wait waits until every line has arrived: what comes next destroys them.
func (w *writer) wait() { w.arrived(w.line) }

func (w *writer) arrived(line int) {
	w.await(fmt.Sprintf("line %d", line), func() bool { return w.told.arrived.Load() >= int64(line) })
}

// held waits until the reader has the log open: then it can be had though it is deleted. What nobody has opened nobody can have.
func (w *writer) held() {
	st, err := w.f.Stat()
	w.must(err)
	fds := fmt.Sprintf("/proc/%d/fd", w.told.reader.Load())
	if _, err := os.Stat(fds); err != nil {
		w.pause(75) // no Linux: a reader that looks often enough has opened it
		return
	}
	w.await("the reader opens the log", func() bool {
		names, _ := filepath.Glob(filepath.Join(fmt.Sprintf("/proc/%d/fd", w.told.reader.Load()), "*"))
		return slices.ContainsFunc(names, func(name string) bool {
			is, err := os.Stat(name)
			return err == nil && os.SameFile(st, is)
		})
	})
}

// seen waits until the reader knows how long the log is, of which it has shipped all but the last bytes.
func (w *writer) seen(bytes int) {
	w.await(fmt.Sprintf("%d bytes behind", bytes), func() bool { return w.told.behind.Load() == int64(bytes) })
}

// reader has the reader killed, or started again.
func (w *writer) reader(up bool) {
	want := 0
	if up {
		want = 1
	}
	w.must(os.WriteFile(filepath.Join(w.dir, wantedFile), []byte(strconv.Itoa(want)), 0o644))
	w.await(fmt.Sprintf("reader up: %v", up), func() bool {
		n, ok := readNumber(filepath.Join(w.dir, upFile))
		return ok && n == want
	})
	w.history.unwatched = !up
}

// await waits for what the test tells.
func (w *writer) await(what string, is func() bool) {
	for deadline := time.Now().Add(2 * time.Minute); !is(); w.pause(1) {
		if time.Now().After(deadline) {
			panic(stop{fmt.Errorf("not within two minutes: %s", what)})
		}
	}
}
