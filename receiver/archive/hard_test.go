//go:build linux

package archive_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("ARCHIVE_TEST_CHILD"); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// Two sources of a host as a stream would bring them: the nth message holds the nth block of both, and every seventh a new generation of the second.
func blockMessage(n uint64) archive.Message {
	const block = 700
	b := wire.Batch{Writer: "w", Number: n}
	generation, in := 1+n/7, n%7
	at := []place{{web1, "/a", 1}, {web1, "/b", generation}}
	from := []int64{int64(n-1) * block, int64(in) * block}
	if n < 7 {
		from[1] = int64(n-1) * block
	}
	if in == 0 {
		b.Opens = []wire.Open{{Source: "/b", Generation: generation, Identity: "i" + strconv.FormatUint(generation, 10), Previous: -1}}
	}
	raw := ""
	for i := range at {
		b.Chunks = append(b.Chunks, wire.Chunk{Source: at[i].source, Generation: at[i].generation, Offset: from[i], Length: block})
		raw += text(at[i], from[i], from[i]+block)
	}
	return archive.Message{Host: web1, Sequence: n, Expected: n - 1, HasExpected: true, Batch: b, Raw: []byte(raw)}
}

func hardConfig(dir string) archive.Config {
	cfg := archive.DefaultConfig()
	cfg.Dir, cfg.SegmentBytes, cfg.SegmentAge, cfg.Compress = dir, 4096, 10*time.Millisecond, archive.Gzip
	return cfg
}

// child is a receiver that is going to be killed: it appends, commits and sweeps as fast as it can, and says on standard output what was committed.
func child(dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	a, err := archive.Open(hardConfig(dir))
	check(err)
	p, err := a.Partition(streamName, created, 1, 0)
	check(err)
	if !p.Knows(web1) {
		check(p.Adopt(web1, wire.Table{}))
	}
	go func() {
		for {
			check(a.Sweep(context.Background()))
		}
	}()
	for n, end := p.Committed()+1, p.Committed()+perChild; ; n++ {
		if n > end {
			select {} // on a fast disk the parent would read for ever
		}
		check(p.Append(blockMessage(n)))
		if rand.IntN(3) == 0 {
			check(p.Cut().Do())
			p.Confirm(p.Committed())
			fmt.Println(n)
		}
	}
}

// perChild is how many messages a child archives before it waits for its end.
const perChild = 40

// TestKill9 kills a receiver at random moments, and looks each time whether what it said is committed is there, and is the right text.
func TestKill9(t *testing.T) {
	kills := 60
	if testing.Short() {
		kills = 6
	}
	dir := filepath.Join(t.TempDir(), "archive")
	var said uint64
	for range kills {
		said = max(said, runChild(t, dir))
		verifyBlocks(t, dir, said)
	}
	if said == 0 {
		t.Fatal("no child committed anything")
	}
	t.Logf("%d kills, %d messages", kills, said)
}

func runChild(t *testing.T, dir string) (said uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ARCHIVE_TEST_CHILD="+dir)
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Duration(20+rand.IntN(300))*time.Millisecond, func() { cmd.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	cmd.Wait()
	if complaints.Len() > 0 {
		t.Fatalf("child: %s", complaints.String())
	}
	lines := strings.Fields(out.String())
	if len(lines) == 0 {
		return 0
	}
	said, err := strconv.ParseUint(lines[len(lines)-1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// verifyBlocks opens the archive after a kill, and compares it with the messages.
func verifyBlocks(t *testing.T, dir string, said uint64) {
	t.Helper()
	a, err := archive.Open(hardConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	held, err := a.Held(streamName, created)
	if err != nil {
		t.Fatal(err)
	}
	var to uint64
	if len(held) > 0 {
		to = held[0].To
	}
	if to < said {
		t.Fatalf("%d was said to be committed, %d is", said, to)
	}
	want := map[place]*strings.Builder{}
	for n := uint64(1); n <= to; n++ {
		m := blockMessage(n)
		for i, c := range m.Batch.Chunks {
			at := place{web1, c.Source, c.Generation}
			if want[at] == nil {
				want[at] = &strings.Builder{}
			}
			want[at].Write(m.Raw[i*700 : (i+1)*700])
		}
	}
	for at, w := range want {
		if got := content(t, a.Reader, at.host, at.source, at.generation); got != w.String() {
			t.Fatalf("%v holds %d bytes, want %d, or they differ", at, len(got), w.Len())
		}
	}
	for e, err := range a.Ledger() {
		t.Fatalf("ledger: %+v, %v", e, err)
	}
}

// TestDiskFull fills a small file system, frees it, and wants every byte once. Reads of what was committed stay right meanwhile.
func TestDiskFull(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no mounts here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 400<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *archive.Config) { c.Dir = filepath.Join(mount, "archive"); c.SegmentBytes = 16 << 10 })
	s.must(s.p.Adopt(web1, wire.Table{}))
	full := 0
	for n := uint64(1); n <= 300; n++ {
		for {
			err := s.step(n)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "no space left") {
				t.Fatal(err)
			}
			if full++; full > 3 {
				os.Remove(ballast)
			}
			if full > 1000 {
				t.Fatal("the disk stays full")
			}
			n = s.p.Committed() + 1
		}
	}
	if full == 0 {
		t.Fatal("the disk was never full")
	}
	s.shut()
	verifyBlocks(t, s.cfg.Dir, 300)
	s.open()
	t.Logf("full %d times", full)
}

// step appends a message and commits. After a failed commit the partition is opened anew, as its worker must.
func (s *site) step(n uint64) error {
	if err := s.p.Append(blockMessage(n)); err != nil {
		s.p.Close()
		s.take(1, 0)
		return err
	}
	err := s.p.Cut().Do()
	if err != nil {
		s.p.Close()
		s.take(1, 0)
	}
	return err
}

// TestManyWorkers runs partitions, commits and the janitor beside each other; it is for the race detector.
func TestManyWorkers(t *testing.T) {
	s := newSite(t, func(c *archive.Config) {
		c.SegmentBytes, c.SegmentAge, c.Compress, c.MaxOpen = 4096, time.Millisecond, archive.Zstd, 8
	})
	const messages = 60
	var workers, janitor sync.WaitGroup
	stop := make(chan struct{})
	janitor.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.a.Sweep(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	for w := range 4 {
		workers.Go(func() { work(t, s.a, w, messages) })
	}
	workers.Wait()
	close(stop)
	janitor.Wait()
	s.ledger()
	for w := range 4 {
		at := place{fmt.Sprintf("host%d", w), "/a", 1}
		if got := content(t, s.a.Reader, at.host, at.source, 1); got != text(at, 0, messages*500) {
			t.Errorf("%v holds %d bytes, or they differ", at, len(got))
		}
	}
	if got := s.a.Stats(); got.Commits == 0 || got.AppendedBytes != 4*messages*500 || got.OpenFiles > 8 {
		t.Errorf("got %+v", got)
	}
}

func work(t *testing.T, a *archive.Archive, w, messages int) {
	p, err := a.Partition(fmt.Sprintf("LOGS-x-1-%d", w), created, 1, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer p.Close()
	at := place{fmt.Sprintf("host%d", w), "/a", 1}
	if err := p.Adopt(at.host, wire.Table{}); err != nil {
		t.Error(err)
	}
	commits, done := make(chan *archive.Commit, 1), make(chan struct{})
	go func() {
		defer close(done)
		for c := range commits {
			if err := c.Do(); err != nil {
				t.Error(err)
			}
			p.Confirm(c.Sequence())
		}
	}()
	for n := range messages {
		c := chunk(at.source, 1, n*500)
		b, raw := batch(c, text(at, int64(n*500), int64(n*500+500)))
		m := archive.Message{Host: at.host, Sequence: uint64(n + 1), Expected: uint64(n), HasExpected: true, Batch: b, Raw: raw}
		if err := p.Append(m); err != nil {
			t.Error(err)
		}
		if n%3 == 0 {
			commits <- p.Cut()
		}
	}
	commits <- p.Cut()
	close(commits)
	<-done
}
