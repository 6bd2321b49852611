package tail_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/tail"
)

// BenchmarkRead reads one warm file to its end, in batches of 1 MiB.
func BenchmarkRead(b *testing.B) {
	for _, length := range []int{100, 200, 1024} {
		b.Run(fmt.Sprintf("line=%d", length), func(b *testing.B) { benchmarkRead(b, length) })
	}
}

func benchmarkRead(b *testing.B, length int) {
	path := filepath.Join(b.TempDir(), "a.log")
	const size = 256 << 20
	line := append(bytes.Repeat([]byte("x"), length-1), '\n')
	if err := os.WriteFile(path, bytes.Repeat(line, size/length), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size / length * length))
	for b.Loop() {
		cfg := tail.DefaultConfig()
		cfg.Paths, cfg.Once = []string{path}, true
		tl, err := tail.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := tl.Recover(nil); err != nil {
			b.Fatal(err)
		}
		var batch tail.Batch
		for !tl.Done() {
			batch.Reset()
			if err := tl.Fill(&batch, limits); err != nil {
				b.Fatal(err)
			}
			tl.Acked(&batch)
		}
		tl.Close()
	}
}

// BenchmarkIdle follows 20,000 idle files in one directory, and tells what part of a
// core that takes.
func BenchmarkIdle(b *testing.B) {
	dir := b.TempDir()
	for i := range 20_000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d.log", i)), []byte("one line of some length\n"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	cfg := tail.DefaultConfig()
	cfg.Paths = []string{dir}
	tl := following(b, cfg)
	defer tl.Close()
	began := time.Now()
	lines := 0
	drain(b, tl, func(got *tail.Batch) bool { lines += len(got.Chunks); return lines >= 20_000 })
	started := time.Since(began)
	settle := time.Now().Add(4 * time.Second)
	drain(b, tl, func(*tail.Batch) bool { return time.Now().After(settle) })
	cpu, wall := cpuTime(), time.Now()
	var worst time.Duration
	b.ResetTimer()
	for range b.N {
		end := time.Now().Add(2 * time.Second)
		for time.Now().Before(end) {
			<-tl.Wake()
			var batch tail.Batch
			t := time.Now()
			if err := tl.Fill(&batch, limits); err != nil {
				b.Fatal(err)
			}
			worst = max(worst, time.Since(t))
		}
	}
	b.ReportMetric(100*float64(cpuTime()-cpu)/float64(time.Since(wall)), "%core")
	b.ReportMetric(started.Seconds(), "s-to-start")
	b.ReportMetric(float64(tl.Stats().Open), "open")
	b.ReportMetric(float64(worst.Microseconds()), "µs-longest-fill")
}

// BenchmarkFollow follows a file that grows by 20,000 lines a second, one write a line.
func BenchmarkFollow(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.log")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	cfg := tail.DefaultConfig()
	cfg.Paths = []string{path}
	tl := following(b, cfg)
	defer tl.Close()
	line := append(bytes.Repeat([]byte("x"), 199), '\n')
	var lines int64
	var inFill time.Duration
	began := time.Now()
	for range b.N {
		for range 1000 { // a second
			for range 20 {
				f.Write(line)
			}
			time.Sleep(time.Until(began.Add(time.Duration(lines/20) * time.Millisecond)))
			select {
			case <-tl.Wake():
				t := cpuTime()
				var batch tail.Batch
				if err := tl.Fill(&batch, limits); err != nil {
					b.Fatal(err)
				}
				tl.Acked(&batch)
				inFill += cpuTime() - t
			default:
			}
			lines += 20
		}
	}
	b.ReportMetric(100*float64(inFill)/float64(time.Since(began)), "%core")
}

func following(b *testing.B, cfg tail.Config) *tail.Tailer {
	tl, err := tail.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := tl.Recover(nil); err != nil {
		b.Fatal(err)
	}
	return tl
}

func drain(b *testing.B, tl *tail.Tailer, done func(*tail.Batch) bool) {
	var batch tail.Batch
	for !done(&batch) {
		batch.Reset()
		if err := tl.Fill(&batch, limits); err != nil {
			b.Fatal(err)
		}
		tl.Acked(&batch)
		if batch.Empty() {
			<-tl.Wake()
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
