package archive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// hand is a clock that a test sets.
type hand struct{ now time.Time }

func (h *hand) read() time.Time { return h.now }

func withClock(h *hand) func(*archive.Config) {
	return func(c *archive.Config) { c.Now = h.read }
}

const rotatedOne = "%00000001-000000000000000000"

func TestJanitorLeavesWhatMayBeTakenBack(t *testing.T) {
	s := newSite(t, func(c *archive.Config) { c.Compress = archive.Gzip })
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.send(web1, chunk(syslog, 2, 0), "two\n")
	s.commit()
	s.must(s.a.Sweep(context.Background()))
	s.file(s.path(web1, syslog)+rotatedOne, "one\n")
	s.p.Confirm(2)
	s.must(s.a.Sweep(context.Background()))
	s.absent(s.path(web1, syslog) + rotatedOne)
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "one\n" {
		t.Errorf("compressed segment holds %q", got)
	}
	s.reopen()
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "one\n" {
		t.Errorf("after a restart the compressed segment holds %q", got)
	}
	s.ledger()
}

func TestIdleFilesRotateByAge(t *testing.T) {
	h := &hand{created}
	s := newSite(t, withClock(h))
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	s.reopen() // its host is in nobody's memory
	h.now = h.now.Add(23 * time.Hour)
	s.must(s.a.Sweep(context.Background()))
	s.file(s.path(web1, syslog), "one\n")
	h.now = h.now.Add(2 * time.Hour)
	s.must(s.a.Sweep(context.Background()))
	s.absent(s.path(web1, syslog))
	s.file(s.path(web1, syslog)+rotatedOne, "one\n")
	s.send(web1, chunk(syslog, 1, 4), "two\n")
	s.commit()
	s.file(s.path(web1, syslog), "two\n")
}

func TestClockThatStepsDeletesNothingEarly(t *testing.T) {
	h := &hand{created}
	s := newSite(t, withClock(h), func(c *archive.Config) { c.Retain = 48 * time.Hour })
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.send(web1, chunk(syslog, 2, 0), "two\n")
	s.commit()
	s.p.Confirm(2)
	for range 10 { // forth and back again: no time has passed
		h.now = created.Add(-100 * time.Hour)
		s.must(s.a.Sweep(context.Background()))
		h.now = created.Add(24 * time.Hour)
		s.must(s.a.Sweep(context.Background()))
	}
	s.file(s.path(web1, syslog)+rotatedOne, "one\n")
	h.now = created.Add(49 * time.Hour)
	s.must(s.a.Sweep(context.Background()))
	s.absent(s.path(web1, syslog) + rotatedOne)
	s.reopen()
	s.ledger()
	for src, err := range s.a.Sources(web1) {
		s.must(err)
		if got := src.Generations[0].Segments[0]; !got.Expired || got.Length != 4 {
			t.Errorf("got %+v", got)
		}
	}
}

// TestKillBetweenTheSteps is schedule T9: the process dies at every place where the directory and the index may differ.
func TestKillBetweenTheSteps(t *testing.T) {
	for _, where := range []string{
		"segment: begun", "append: written", "rotate: checked", "commit: synced", "commit: index written",
		"compress: written aside", "compress: renamed", "compress: index written", "expire: index written",
	} {
		t.Run(where, func(t *testing.T) { killAt(t, where) })
	}
}

func killAt(t *testing.T, where string) {
	h := &hand{created}
	s := newSite(t, withClock(h), func(c *archive.Config) {
		c.SegmentBytes, c.SegmentAge, c.Compress, c.Retain = 4096, 10*time.Millisecond, archive.Gzip, 80*time.Millisecond
	})
	var want strings.Builder
	died := 0
	for i := range 24 {
		line := strings.Repeat(fmt.Sprintf("%06d ", i), 150) + "\n"
		before := s.p.Committed()
		ok := survives(where, i%5, func() {
			s.send(web1, chunk(syslog, 1, want.Len()), line)
			s.commit()
			s.p.Confirm(s.p.Committed())
			h.now = h.now.Add(7 * time.Millisecond)
			s.must(s.a.Sweep(context.Background()))
		})
		if !ok {
			died++
			s.reopen()
		}
		if s.p.Committed() > before {
			want.WriteString(line)
		}
	}
	s.ledger()
	if died == 0 {
		t.Fatal("it never died there")
	}
	checkSegments(s, want.String())
}

// checkSegments wants the segments of the source to hold the text, but for those that expired.
func checkSegments(s *site, want string) {
	s.Helper()
	var at int64
	for src, err := range s.a.Sources(web1) {
		s.must(err)
		for _, seg := range src.Generations[0].Segments {
			if seg.Start != at {
				s.Fatalf("segment at %d, want %d", seg.Start, at)
			}
			at += seg.Length
			if seg.Expired {
				continue
			}
			got := readSegment(s, seg)
			if got != want[seg.Start:at] {
				s.Fatalf("%s differs", seg.Path)
			}
		}
	}
	if at != int64(len(want)) {
		s.Fatalf("%d bytes archived, want %d", at, len(want))
	}
}

func readSegment(s *site, seg archive.Segment) string {
	s.Helper()
	f, err := s.a.OpenSegment(seg)
	s.must(err)
	defer f.Close()
	b := make([]byte, seg.Length)
	for n := 0; n < len(b); {
		k, err := f.Read(b[n:])
		n += k
		if n < len(b) {
			s.must(err)
		}
	}
	return string(b)
}

// survives runs the step, and reports whether the process lived through it: it dies the nth time it comes to a place.
func survives(where string, n int, step func()) (ok bool) {
	defer archive.SetFault(nil)
	defer func() {
		if r := recover(); r != nil {
			if r != errCrash {
				panic(r)
			}
			ok = false
		}
	}()
	archive.SetFault(func(here string) error {
		if here == where {
			if n--; n < 0 {
				panic(errCrash)
			}
		}
		return nil
	})
	step()
	return true
}

func TestDamageIsFoundAndSaid(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n", chunk("/gone", 1, 0), "gone\n", chunk("/packed", 1, 0), "packed\n")
	s.send(web1, chunk("/packed", 2, 0), "next\n")
	s.commit()
	s.shut()
	s.must(os.Truncate(s.path(web1, syslog), 2))
	s.must(os.Remove(s.path(web1, "/gone")))
	gzip(t, s.path(web1, "/packed")+rotatedOne)
	s.open()
	s.ledger("web1 /gone 1 [0,5) file-damaged @1", "web1 /var/log/syslog 1 [2,4) file-damaged @1")
	s.send(web1, chunk(syslog, 1, 4), "two\n", chunk("/gone", 1, 5), "back\n")
	s.commit()
	s.reopen()
	s.ledger("web1 /gone 1 [0,5) file-damaged @1", "web1 /var/log/syslog 1 [2,4) file-damaged @1")
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "ontwo\n" {
		t.Errorf("got %q", got)
	}
	if got := content(t, s.a.Reader, web1, "/packed", 1); got != "packed\n" {
		t.Errorf("a segment compressed by hand reads %q", got)
	}
}

func TestSetAsideMovesBytesAndTheirLedger(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "keep\n")
	s.commit()
	s.send(web1, chunk(syslog, 1, 5), "aside\n", chunk(syslog, 1, 20), "gap\n")
	s.commit()
	s.send("new", chunk("/x", 1, 0), "new\n")
	s.must(s.p.Quarantine(archive.Quarantined{Host: web1, Sequence: 4, Reason: "?"}))
	s.commit()
	held, err := s.a.Held(streamName, created)
	s.must(err)
	if len(held) != 1 || held[0] != (handover.Held{Epoch: 1, After: 0, To: 4}) {
		t.Fatalf("held %+v", held)
	}
	plan := []handover.Range{{Epoch: 1, After: 1, To: 4}}
	if err := s.a.SetAside(streamName, plan); err == nil {
		t.Error("set aside under an open partition")
	}
	s.p.Close()
	s.must(s.a.SetAside(streamName, plan))
	s.must(s.a.SetAside(streamName, plan))
	s.absent(s.path(web1, syslog))
	s.file(s.path(web1, syslog)+rotatedOne, "keep\n") // the gap had it rotated; names stay
	s.absent(s.path(web1, syslog) + "%00000001-000000000000000020")
	s.absent(s.cfg.Dir + "/hosts/new")
	s.absent(s.cfg.Dir + "/quarantine/" + streamName + "-4")
	s.ledger()
	aside := s.cfg.Dir + "/superseded/1/" + streamName + "/1-4"
	s.file(aside+"/web1/var/log/syslog%00000001-000000000000000005", "aside\n")
	s.file(aside+"/web1/var/log/syslog%00000001-000000000000000020", "gap\n")
	s.file(aside+"/new/x"+rotatedOne, "new\n")
	s.file(aside+"/quarantine/"+streamName+"-4", "Subject: \r\nSequence: 4\r\nReason: ?\r\n\r\n")
	hosts, err := s.a.Hosts()
	s.must(err)
	if strings.Join(hosts, " ") != web1 {
		t.Errorf("hosts %v", hosts)
	}
	s.take(1, 0)
	s.send(web1, chunk(syslog, 1, 5), "again\n")
	s.commit()
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "keep\nagain\n" {
		t.Errorf("got %q", got)
	}
}

func TestSetAsideNeedsABorder(t *testing.T) {
	s := newSite(t)
	for i := range 4 {
		s.send(web1, chunk(syslog, 1, 4*i), "one\n")
		if i%2 == 1 {
			s.commit()
		}
	}
	s.p.Close()
	if err := s.a.SetAside(streamName, []handover.Range{{Epoch: 1, After: 1, To: 4}}); err == nil {
		t.Error("cut inside a commit")
	}
	s.file(s.path(web1, syslog), strings.Repeat("one\n", 4))
	s.take(1, 0)
	s.p.Confirm(4)
	s.send(web1, chunk(syslog, 1, 16), "one\n")
	s.commit()
	s.p.Close()
	if err := s.a.SetAside(streamName, []handover.Range{{Epoch: 1, After: 2, To: 5}}); err == nil {
		t.Error("cut below the confirmed floor")
	}
}

func TestOneProcessOwnsAnArchive(t *testing.T) {
	s := newSite(t)
	if _, err := archive.Open(s.cfg); !errors.Is(err, archive.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("got %v, want ErrInUse with the owner's process id", err)
	}
	if _, err := archive.OpenReader(s.cfg.Dir); !errors.Is(err, archive.ErrInUse) {
		t.Errorf("reader: got %v, want ErrInUse", err)
	}
	if _, err := s.a.Partition(streamName, created, 1, 0); err == nil {
		t.Error("a stream was opened twice")
	}
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	id := s.a.ID()
	s.shut()
	r, err := archive.OpenReader(s.cfg.Dir)
	s.must(err)
	defer r.Close()
	if got := content(t, r, web1, syslog, 1); got != "one\n" || r.ID() != id {
		t.Errorf("reader: got %q of %s", got, r.ID())
	}
}

func TestStrangeIndexesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(s *site)
		want string
	}{
		"no index beside files": {func(s *site) { s.must(os.Remove(s.cfg.Dir + "/index.db")) }, "restore the index"},
		"rubbish":               {func(s *site) { s.must(os.WriteFile(s.cfg.Dir+"/index.db", []byte("rubbish"), 0o600)) }, "move the archive directory aside"},
		"another version":       {func(s *site) { rewriteVersion(t, s.cfg.Dir+"/index.db") }, `version "999"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.send(web1, chunk(syslog, 1, 0), "one\n")
			s.commit()
			s.shut()
			c.harm(s)
			a, err := archive.Open(s.cfg)
			if err == nil {
				a.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			s.file(s.path(web1, syslog), "one\n")
		})
	}
}

// A receiver that is killed while it founds its archive must be able to start again.
func TestKillWhileTheArchiveIsFounded(t *testing.T) {
	for _, where := range []string{"index: opened", "index: filled"} {
		cfg := archive.DefaultConfig()
		cfg.Dir = t.TempDir() + "/archive"
		archive.SetFault(func(here string) error {
			if here == where {
				return errCrash
			}
			return nil
		})
		_, err := archive.Open(cfg)
		archive.SetFault(nil)
		if !errors.Is(err, errCrash) {
			t.Fatalf("%s: it opens with %v", where, err)
		}
		a, err := archive.Open(cfg)
		if err != nil {
			t.Fatalf("after %q: %v", where, err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStreamMadeAnewIsAnother(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	if _, err := s.a.Held(streamName, created.Add(time.Second)); err == nil || !strings.Contains(err.Error(), "the hub's store was replaced") {
		t.Errorf("got %v", err)
	}
	s.p.Close()
	if _, err := s.a.Partition(streamName, created, 1, 5); err == nil {
		t.Error("an epoch began at two sequences")
	}
}

func TestConfigListsAllFaults(t *testing.T) {
	_, err := archive.Open(archive.Config{Compress: "lzma", Retain: -1})
	for _, want := range []string{"directory", "segment size", "segment age", "lzma", "retention", "open files"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestJanitorSweepsUntilItIsStopped(t *testing.T) {
	s := newSite(t, func(c *archive.Config) { c.Compress, c.SegmentAge = archive.Gzip, 10*time.Millisecond })
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	s.p.Confirm(1)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.a.Janitor(ctx) }()
	for deadline := time.Now().Add(time.Minute); s.a.Stats().Compressed == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was compressed")
		}
	}
	stop()
	s.must(<-ended)
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "one\n" {
		t.Errorf("got %q", got)
	}
}

// TestCompressionMeetsRecovery lets a partition be opened anew, which removes files that the index does not name, at the moment when a compressed segment stands there and the
// index does not know it yet.
func TestCompressionMeetsRecovery(t *testing.T) {
	s := newSite(t, func(c *archive.Config) { c.Compress = archive.Gzip })
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.send(web1, chunk(syslog, 2, 0), "two\n")
	s.commit()
	s.p.Confirm(2)
	s.send(web1, chunk(syslog, 2, 4), "not committed\n")
	reopened := make(chan struct{})
	archive.SetFault(func(where string) error {
		if where != "compress: renamed" {
			return nil
		}
		go func() {
			defer close(reopened)
			s.p.Close()
			p, err := s.a.Partition(streamName, created, 1, 0)
			if err != nil {
				t.Error(err)
			}
			s.p = p
		}()
		select {
		case <-reopened:
		case <-time.After(100 * time.Millisecond): // it waits for us, as it should
		}
		return nil
	})
	defer archive.SetFault(nil)
	s.must(s.a.Sweep(context.Background()))
	<-reopened
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "one\n" {
		t.Errorf("got %q", got)
	}
	s.file(s.path(web1, syslog), "two\n")
	s.ledger()
}
