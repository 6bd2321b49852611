package tail_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// quick is a configuration that finds sources finished soon.
func quick(paths ...string) tail.Config {
	cfg := config(paths...)
	cfg.Patience, cfg.Grace, cfg.Linger = 10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond
	return cfg
}

// ship takes what comes as the hub would, without a look at numbers, until ok.
func ship(t *testing.T, tl *tail.Tailer, lim tail.Limits, ok func(b *tail.Batch) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-tl.Wake() {
		var b tail.Batch
		tl.Forget(&b, lim, 64)
		must(t, tl.Fill(&b, lim))
		tl.Acked(&b)
		if ok(&b) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time; stats %+v", tl.Stats())
		}
	}
}

func chunks(n int) func(*tail.Batch) bool {
	return func(b *tail.Batch) bool {
		n -= len(b.Chunks)
		return n <= 0
	}
}

// rounds looks as often as it takes for everything finished to be found, and fails when anything is.
func notForgotten(t *testing.T, tl *tail.Tailer) {
	t.Helper()
	rounds := 0
	ship(t, tl, limits, func(b *tail.Batch) bool {
		if len(b.Forgets) > 0 {
			t.Fatalf("forgot %+v", b.Forgets)
		}
		rounds++
		return rounds > 25
	})
}

func TestFinishedSourceIsForgottenAndComesBackUnderAnotherNumber(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "job.log"), filepath.Join(dir, "idle.log")
	tl := start(t, quick(filepath.Join(dir, "*.log")))
	write(t, path, "one\n")
	write(t, other, "idle\n")
	ship(t, tl, limits, chunks(2))
	must(t, os.Remove(path))
	ship(t, tl, limits, func(b *tail.Batch) bool {
		if len(b.Forgets) == 0 {
			return false
		}
		if want := []tail.Finished{{Source: path, Generation: 1}}; !reflect.DeepEqual(b.Forgets, want) {
			t.Fatalf("forgot %+v, want %+v", b.Forgets, want)
		}
		return true
	})
	if n := tl.Stats().Sources; n != 1 {
		t.Errorf("%d sources are left, want 1", n)
	}
	if known := tl.Known(); len(known) != 1 || known[0].Source != other {
		t.Errorf("a checkpoint would remember %+v", known)
	}
	write(t, path, "two\n")
	ship(t, tl, limits, func(b *tail.Batch) bool {
		if len(b.Opens) == 0 {
			return false
		}
		if o, c := b.Opens[0], b.Chunks[0]; o.Source != path || o.Generation != 2 || o.Previous != -1 || c.Offset != 0 || c.Length != 4 {
			t.Errorf("came back as %+v %+v", o, c)
		}
		return true
	})
}

func TestWhatIsNotGoneIsNotForgotten(t *testing.T) {
	for name, happens := range map[string]func(t *testing.T, dir, path string){
		"it is there":      func(*testing.T, string, string) {},
		"it was renamed":   func(t *testing.T, _, path string) { must(t, os.Rename(path, path+".1")) },
		"it was packed":    func(t *testing.T, _, path string) { write(t, path+".gz", "any"); must(t, os.Remove(path)) },
		"it is seen there": func(t *testing.T, dir, path string) { must(t, os.Rename(path, filepath.Join(dir, "elsewhere.log"))) },
		"nobody may look": func(t *testing.T, dir, path string) {
			must(t, os.Rename(path, path+".x"))
			must(t, os.Symlink(path, path))
		},
		"a directory is it": func(t *testing.T, _, path string) { must(t, os.Remove(path)); must(t, os.Mkdir(path, 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.log")
			tl := start(t, quick(filepath.Join(dir, "*.log")))
			write(t, path, "one two three four five six seven eight nine ten eleven twelve thirteen\n")
			ship(t, tl, limits, chunks(1))
			happens(t, dir, path)
			notForgotten(t, tl)
		})
	}
}

func TestUnacknowledgedSourceIsNotForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl := start(t, quick(path))
	write(t, path, "one\n")
	var flying tail.Batch
	for len(flying.Chunks) == 0 {
		must(t, tl.Fill(&flying, limits))
		<-tl.Wake()
	}
	must(t, os.Remove(path))
	notForgotten(t, tl)
	tl.Acked(&flying)
	ship(t, tl, limits, func(b *tail.Batch) bool { return len(b.Forgets) == 1 })
}

// Forgets come first in a batch: one of a source that the batch speaks of would not be the last word.
func TestSourceIsNotForgottenInABatchThatSpeaksOfIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "job.log")
	write(t, path, "one\n")
	h := shipOnce(t, quick(path))
	must(t, os.Remove(path))
	cfg := quick(path)
	cfg.Once = true
	tl := start(t, cfg, h.known()...)
	var b tail.Batch
	for len(b.Missing) == 0 {
		must(t, tl.Fill(&b, limits))
		<-tl.Wake()
	}
	if more := tl.Forget(&b, limits, 64); !more || len(b.Forgets) > 0 {
		t.Errorf("forgot %+v in a batch that declares %+v; more: %v", b.Forgets, b.Missing, more)
	}
	tl.Acked(&b)
	b.Reset()
	if more := tl.Forget(&b, limits, 64); more || len(b.Forgets) != 1 {
		t.Errorf("forgot %+v in the next; more: %v", b.Forgets, more)
	}
}

func TestHeldSourceIsNotForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	cfg := quick(path)
	cfg.Hold, cfg.HoldDir = true, filepath.Join(filepath.Dir(path), "held")
	tl := start(t, cfg)
	write(t, path, "one\n")
	ship(t, tl, limits, chunks(1))
	must(t, os.Remove(path))
	notForgotten(t, tl)
	tl.Archived(path, 1, 4)
	ship(t, tl, limits, func(b *tail.Batch) bool { return len(b.Forgets) == 1 })
}

// A file system that is not mounted now has not lost its files.
func TestSourceOfAnotherFileSystemIsNotForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	cfg := quick(filepath.Join(filepath.Dir(path), "*.log"))
	gone := tail.Generation{Source: path, Number: 3, Offset: 9, Length: 9, Identity: tail.Identity{Device: 4711, Inode: 5, Birth: 6, HeadLen: 9, Head: 7}}
	notForgotten(t, start(t, cfg, gone))

	st, id := filepath.Join(filepath.Dir(path), "b.log"), tail.Identity{}
	probe := start(t, quick(st))
	write(t, st, "one\n")
	ship(t, probe, limits, func(b *tail.Batch) bool {
		if len(b.Opens) > 0 {
			id = b.Opens[0].Identity
		}
		return len(b.Opens) > 0
	})
	gone.Identity.Device = id.Device
	ship(t, start(t, cfg, gone), limits, func(b *tail.Batch) bool { return len(b.Forgets) == 1 && b.Forgets[0].Generation == 3 })
}

func TestNumbersOfForgottenSourcesAreNotUsedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	tl := start(t, config(path))
	tl.Used(7)
	write(t, path, "one\n")
	opened := func(number uint64, previous int64) func(*tail.Batch) bool {
		return func(b *tail.Batch) bool {
			if len(b.Opens) > 0 && (b.Opens[0].Generation != number || b.Opens[0].Previous != previous) {
				t.Fatalf("opened %+v, want generation %d after %d bytes", b.Opens, number, previous)
			}
			return len(b.Opens) > 0
		}
	}
	ship(t, tl, limits, opened(8, -1))
	tl.Used(12)
	must(t, os.Rename(path, path+".1"))
	write(t, path, "two\n")
	ship(t, tl, limits, opened(13, 4))
}

func TestSourcesArePutOffWhileThereIsNoRoom(t *testing.T) {
	dir := t.TempDir()
	tl := start(t, quick(filepath.Join(dir, "*.log")))
	known := filepath.Join(dir, "known.log")
	write(t, known, "one\n")
	ship(t, tl, limits, chunks(1))
	full := limits
	full.NoNew = true
	put := filepath.Join(dir, "new.log")
	write(t, put, "waits\n")
	ship(t, tl, full, func(b *tail.Batch) bool {
		if len(b.Opens) > 0 {
			t.Fatalf("began %+v", b.Opens)
		}
		return tl.Stats().Refused == 1
	})
	if f := tl.Stats().Faults; len(f) != 1 || f[0].Path != put {
		t.Errorf("faults are %+v", f)
	}
	write(t, known, "two\n")
	ship(t, tl, full, chunks(1))
	write(t, put, "still\n")
	must(t, os.Rename(put, put+".1"))
	write(t, put, "next\n")
	var got []byte
	ship(t, tl, limits, func(b *tail.Batch) bool {
		got = append(got, b.Data...)
		return len(got) >= len("waits\nstill\nnext\n")
	})
	if string(got) != "waits\nstill\nnext\n" || tl.Stats().Refused != 0 {
		t.Errorf("got %q; %+v", got, tl.Stats())
	}
}

// After a restart a lost log is sought by its file number, which a new log in the same directory may have been given: it is no generation of the lost one.
func TestNumberOfALostFileGivenToAnotherLog(t *testing.T) {
	dir := t.TempDir()
	lost, other := filepath.Join(dir, "lost.log"), filepath.Join(dir, "other.log")
	write(t, other, "one\n")
	probe := start(t, quick(other))
	var id tail.Identity
	ship(t, probe, limits, func(b *tail.Batch) bool {
		if len(b.Opens) > 0 {
			id = b.Opens[0].Identity
		}
		return len(b.Opens) > 0
	})
	id.Birth--
	tl := start(t, quick(lost), tail.Generation{Source: lost, Number: 1, Identity: id, Offset: 9, Length: -1, Seen: 9, Check: tail.Check{Len: 9, Sum: 1}})
	ship(t, tl, limits, func(b *tail.Batch) bool {
		if len(b.Opens) > 0 {
			t.Errorf("opened %+v", b.Opens)
		}
		return len(b.Forgets) > 0
	})
}
