//go:build linux

package archive_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"golang.org/x/sys/unix"
)

const groupBytes = 8 << 20 // bytes between two commits, as the receiver does it

// cpu is the processor time of this process in seconds: its own, and the kernel's for it.
func cpu() (user, system float64) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()) / 1e9, float64(u.Stime.Nano()) / 1e9
}

// measure reports bytes a second and processor seconds a GiB.
func measure(b *testing.B, bytes int64, run func()) {
	b.Helper()
	b.SetBytes(bytes)
	user, system := cpu()
	b.ResetTimer()
	run()
	b.StopTimer()
	userNow, systemNow := cpu()
	gib := float64(bytes) * float64(b.N) / (1 << 30)
	b.ReportMetric((userNow-user)/gib, "user-s/GiB")
	b.ReportMetric((systemNow-system)/gib, "system-s/GiB")
}

// BenchmarkArchive appends batches and commits every 8 MiB, one commit beside the appends of the next, as the receiver does. b.N is batches.
func BenchmarkArchive(b *testing.B) {
	for _, size := range []int{64 << 10, 1 << 20} {
		for _, partitions := range []int{1, 8} {
			for _, sources := range []int{1, 1000} {
				b.Run(fmt.Sprintf("batch=%dKiB/partitions=%d/sources=%d", size>>10, partitions, sources), func(b *testing.B) {
					benchmarkArchive(b, size, partitions, sources)
				})
			}
		}
	}
}

func benchmarkArchive(b *testing.B, size, partitions, sources int) {
	cfg := archive.DefaultConfig()
	cfg.Dir, cfg.MaxOpen = b.TempDir(), 2048
	a, err := archive.Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	measure(b, int64(size), func() {
		var all sync.WaitGroup
		for i := range partitions {
			all.Go(func() { feed(b, a, i, size, (b.N+partitions-1)/partitions, sources) })
		}
		all.Wait()
	})
}

// feed is one worker: n batches of one host, each with chunks of up to 64 sources, round and round.
func feed(b *testing.B, a *archive.Archive, number, size, n, sources int) {
	p, err := a.Partition(fmt.Sprintf("LOGS-bench-1-%d", number), created, 1, 0)
	if err != nil {
		b.Error(err)
		return
	}
	defer p.Close()
	host := fmt.Sprintf("host%d", number)
	if err := p.Adopt(host, wire.Table{}); err != nil {
		b.Error(err)
		return
	}
	raw := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	offsets := make([]int64, sources)
	commits, done := make(chan *archive.Commit), make(chan error, 1)
	go func() {
		var first error
		for c := range commits {
			if err := c.Do(); err != nil && first == nil {
				first = err
			}
		}
		done <- first
	}()
	chunks, next, open := min(sources, 64), 0, 0
	for i := range n {
		m := archive.Message{Host: host, Sequence: uint64(i + 1), Expected: uint64(i), HasExpected: true, Raw: raw}
		m.Batch = wire.Batch{Writer: "w", Number: uint64(i)}
		for range chunks {
			source := next % sources
			next++
			c := wire.Chunk{Source: fmt.Sprintf("/var/log/app%d.log", source), Generation: 1, Offset: offsets[source], Length: int64(size / chunks)}
			offsets[source] += c.Length
			m.Batch.Chunks = append(m.Batch.Chunks, c)
		}
		if err := p.Append(m); err != nil {
			b.Error(err)
			return
		}
		if open += size; open >= groupBytes {
			commits <- p.Cut()
			open = 0
		}
	}
	commits <- p.Cut()
	close(commits)
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// BenchmarkPlainFile is the same work without an archive: write, and fdatasync every 8 MiB beside the next writes.
func BenchmarkPlainFile(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "plain"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const size = 1 << 20
	raw := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	syncs, done := make(chan struct{}), make(chan struct{})
	go func() {
		for range syncs {
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				b.Error(err)
			}
		}
		close(done)
	}()
	measure(b, size, func() {
		for i := range b.N {
			if _, err := f.Write(raw); err != nil {
				b.Fatal(err)
			}
			if (i+1)%(groupBytes/size) == 0 {
				syncs <- struct{}{}
			}
		}
		syncs <- struct{}{}
		close(syncs)
		<-done
	})
}

// BenchmarkManySources is a host with 20,000 sources: opening its archive, its first message afterwards, its table, and a commit of one changed source.
func BenchmarkManySources(b *testing.B) {
	cfg := archive.DefaultConfig()
	cfg.Dir = b.TempDir()
	const sources = 20_000
	open := func() (*archive.Archive, *archive.Partition) {
		a, err := archive.Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		p, err := a.Partition(streamName, created, 1, 0)
		if err != nil {
			b.Fatal(err)
		}
		return a, p
	}
	a, p := open()
	if err := p.Adopt(web1, wire.Table{}); err != nil {
		b.Fatal(err)
	}
	m := archive.Message{Host: web1, Sequence: 1}
	for i := range sources {
		m.Batch.Chunks = append(m.Batch.Chunks, wire.Chunk{Source: fmt.Sprintf("/srv/app%d/log/current-%d.log", i%100, i), Generation: 1, Length: 1})
		m.Raw = append(m.Raw, 'x')
	}
	b.ResetTimer()
	step := func(name string, run func() error) {
		begun := time.Now()
		if err := run(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(begun).Microseconds())/1000, name+"-ms")
	}
	for range b.N {
		step("first-append", func() error { return p.Append(m) })
		step("first-commit", func() error { return p.Cut().Do() })
		p.Close()
		a.Close()
		step("open", func() error { a, p = open(); return nil })
		step("load", func() error { p.Knows(web1); return nil })
		step("table", func() error { p.Table(web1); return nil })
		m.Sequence++
		m.Batch.Chunks, m.Raw = m.Batch.Chunks[:1], m.Raw[:1]
		m.Batch.Chunks[0].Offset++
		step("one-append", func() error { return p.Append(m) })
		step("one-commit", func() error { return p.Cut().Do() })
	}
	b.StopTimer()
	p.Close()
	a.Close()
}
