package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/lines"
)

// keepRotated is how many rotated files stay: more than a host's table remembers, which the long form meets, and more than a killed agent falls behind.
const keepRotated = 80

// source is a log as a program writes it, with a copy of every byte beside it: what the archive must hold, generation by generation.
type source struct {
	t     testing.TB
	host  string
	path  string
	truth string // directory: a file for each generation
	maker *lines.Maker

	mu         sync.Mutex // guards what follows
	file       *os.File
	generation int
	total      int64
}

// newSource begins a log below the site's logs directory, that of the site's agent.
func (s *site) newSource(name string) *source {
	return s.sourceOf(host, s.path("logs"), name)
}

// sourceOf begins a log of any host.
func (s *site) sourceOf(host, dir, name string) *source {
	s.t.Helper()
	maker, err := lines.NewMaker(lines.Config{Origin: host + ":" + name, Seed: 1})
	must(s.t, err)
	src := &source{t: s.t, host: host, path: filepath.Join(dir, name), truth: s.path("truth-" + host + "-" + name), maker: maker}
	must(s.t, os.MkdirAll(src.truth, 0o755))
	src.open()
	s.t.Cleanup(func() { src.file.Close() })
	return src
}

func (s *source) open() {
	var err error
	s.file, err = os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	s.must(err)
	s.generation++
}

// must is for goroutines, which must not end the test.
func (s *source) must(err error) {
	if err != nil {
		s.t.Errorf("write %s: %v", s.path, err)
	}
}

// lines appends n lines at once.
func (s *source) lines(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(s.file, s.generation, s.take(n))
}

func (s *source) take(n int) []byte {
	var text []byte
	for range n {
		text = s.maker.Append(text, time.Now())
	}
	return text
}

// raw appends bytes as they are.
func (s *source) raw(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.append(s.file, s.generation, text)
}

func (s *source) append(f *os.File, generation int, text []byte) {
	truth, err := os.OpenFile(s.generationFile(generation), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	s.must(err)
	_, err = truth.Write(text)
	s.must(errors.Join(err, truth.Close()))
	_, err = f.Write(text)
	s.must(err)
	s.total += int64(len(text))
}

func (s *source) generationFile(n int) string {
	return filepath.Join(s.truth, fmt.Sprintf("%08d", n))
}

// rename rotates by renaming. late lines are written to the old file after that, as a program does that has not heard of it. They are numbered before the
// successor's, for that is the order in which the archive holds them.
func (s *source) rename(late int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift()
	s.must(os.Rename(s.path, s.path+".1"))
	old, generation, text := s.file, s.generation, s.take(late)
	s.open()
	s.append(s.file, s.generation, s.take(1))
	if late > 0 {
		s.append(old, generation, text)
	}
	s.must(old.Close())
}

// copyTruncate rotates by copying and truncating.
func (s *source) copyTruncate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift()
	from, err := os.Open(s.path)
	s.must(err)
	to, err := os.Create(s.path + ".1")
	s.must(err)
	_, err = io.Copy(to, from)
	s.must(errors.Join(err, to.Close(), from.Close(), s.file.Truncate(0)))
	s.generation++
}

// shift makes room for NAME.1.
func (s *source) shift() {
	for n := keepRotated; n > 0; n-- {
		err := os.Rename(fmt.Sprintf("%s.%d", s.path, n), fmt.Sprintf("%s.%d", s.path, n+1))
		if !errors.Is(err, fs.ErrNotExist) {
			s.must(err)
		}
	}
	if err := os.Remove(fmt.Sprintf("%s.%d", s.path, keepRotated+1)); !errors.Is(err, fs.ErrNotExist) {
		s.must(err)
	}
}

// size is how many bytes were written.
func (s *source) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// want reads what the archive must hold.
func (s *source) want() (io.Reader, func() error, error) {
	var readers []io.Reader
	var closers []func() error
	closeAll := func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	s.mu.Lock()
	last := s.generation
	s.mu.Unlock()
	for n := 1; n <= last; n++ {
		f, err := os.Open(s.generationFile(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // nothing was written to that one
		}
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		readers, closers = append(readers, f), append(closers, f.Close)
	}
	return io.MultiReader(readers...), closeAll, nil
}

// shippedAs reports whether a table's extents cover all that was written. Of a source that has rotated often the table holds the newest generations alone.
func (s *source) shippedAs(extents []wire.Extent) bool {
	held := int64(0)
	for _, e := range extents {
		held += e.Offset
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(extents) == 0 || extents[0].Generation == 1 {
		return held == s.total
	}
	written := int64(0)
	for n, left := s.generation, len(extents); n > 0 && left > 0; n-- {
		if info, err := os.Stat(s.generationFile(n)); err == nil { // else nothing was written to that one
			written, left = written+info.Size(), left-1
		}
	}
	return held == written
}

// habit is how a program writes and how its log is rotated.
type habit struct {
	lines  int           // at once, at most
	pause  time.Duration // between writes, at most
	every  time.Duration // between rotations, about; 0: never
	rotate func(*source, *rand.Rand)
}

func byRename(s *source, _ *rand.Rand)     { s.rename(0) }
func byLateRename(s *source, r *rand.Rand) { s.rename(r.IntN(20)) }
func byCopy(s *source, _ *rand.Rand)       { s.copyTruncate() }

// keepWriting writes in the background until the returned function is called.
func (s *source) keepWriting(seed uint64, h habit) (stop func()) {
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		r := rand.New(rand.NewPCG(seed, 1))
		next := time.Now().Add(h.every)
		for {
			select {
			case <-end:
				return
			case <-time.After(upTo(r, h.pause)):
			}
			s.lines(1 + r.IntN(h.lines))
			if h.every > 0 && time.Now().After(next) {
				h.rotate(s, r)
				next = time.Now().Add(h.every/2 + upTo(r, h.every))
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		done.Wait()
	})
}

// remove unlinks the log and begins it anew.
func (s *source) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(errors.Join(s.file.Close(), os.Remove(s.path)))
	s.open()
}
