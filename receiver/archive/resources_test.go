package archive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// openUnder lists the files below dir that this process has open, deleted ones too.
func openUnder(t *testing.T, dir string) (names []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, dir+"/hosts/") {
			names = append(names, name)
		}
	}
	return names
}

// What the janitor deletes must give its room back: nobody may hold it open.
func TestDeletedSegmentsAreNotHeldOpen(t *testing.T) {
	s := newSite(t, func(c *archive.Config) { c.Compress = archive.Gzip })
	for g := uint64(1); g <= 20; g++ {
		s.send(web1, open(syslog, g, fmt.Sprint("i", g)), chunk(syslog, g, 0), "bytes\n")
		s.commit()
	}
	s.p.Confirm(s.seq)
	s.must(s.a.Sweep(context.Background()))
	if held := openUnder(t, s.cfg.Dir); len(held) > 1 {
		t.Errorf("%d files are held open, the first %s", len(held), held[0])
	}
}

// A commit that is given up with its tenure gives its files back.
func TestCommitsThatAreNeverDoneLeakNoFiles(t *testing.T) {
	s := newSite(t)
	for range 10 {
		s.send(web1, chunk(syslog, 1, 0), "bytes\n")
		s.p.Cut()
		s.must(s.p.Close())
		s.take(1, 0)
	}
	if held := openUnder(t, s.cfg.Dir); len(held) > 1 {
		t.Errorf("%d files are held open: %s", len(held), held)
	}
}

// A segment that cannot be compressed must not keep old ones from being deleted.
func TestOneBadSegmentDoesNotStopTheJanitor(t *testing.T) {
	for name, spoil := range map[string]func(s *site){
		"a file is gone": func(s *site) { s.must(os.Remove(s.path(web1, "/a") + rotatedOne)) },
		"the disk is full": func(s *site) {
			archive.SetFault(func(where string) error {
				if strings.HasPrefix(where, "compress") {
					return syscall.ENOSPC
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hand{created}
			s := newSite(t, withClock(h), func(c *archive.Config) {
				c.Compress, c.Retain, c.SegmentAge = archive.Gzip, 240*time.Hour, 1000*time.Hour
			})
			defer archive.SetFault(nil)
			send := func(source string, g uint64) {
				s.send(web1, open(source, g, fmt.Sprint(source, g)), chunk(source, g, 0), "x\n")
			}
			send("/a", 1)
			send("/b", 1)
			send("/b", 2)
			s.commit()
			h.now = h.now.Add(230 * time.Hour)
			s.send(web1, chunk("/a", 1, 2), "younger\n")
			send("/a", 2)
			s.commit()
			s.p.Confirm(s.seq)
			spoil(s)
			h.now = h.now.Add(20 * time.Hour)
			if err := s.a.Sweep(context.Background()); err == nil {
				t.Error("no error")
			}
			s.absent(s.path(web1, "/b") + rotatedOne)
		})
	}
}

// Hosts keep their files when the archive is put onto a file system that takes A and a for the same, or somebody leaves a file LOCK there.
func TestFoldingIsThatOfTheFounding(t *testing.T) {
	s := newSite(t)
	s.send("Web1", chunk(syslog, 1, 0), "bytes\n")
	s.commit()
	s.shut()
	s.must(os.WriteFile(s.cfg.Dir+"/LOCK", nil, 0o600))
	a, err := archive.Open(s.cfg)
	if err == nil { // refusing would be as good
		s.a = a
		s.ledger()
	}
	s.file(s.path("Web1", syslog), "bytes\n")
}

func TestFoldedHostsCanBeRead(t *testing.T) {
	s := newSite(t, func(c *archive.Config) {
		os.MkdirAll(c.Dir, 0o750)
		os.Symlink("lock", c.Dir+"/LOCK") // as on a file system that folds
	})
	s.send("Web1", chunk(syslog, 1, 0), "bytes\n")
	s.commit()
	if got := content(t, s.a.Reader, "Web1", syslog, 1); got != "bytes\n" {
		t.Errorf("got %q", got)
	}
}

// A stray file beside the hosts' directories keeps nobody from opening the archive.
func TestStrayFileAmongTheHosts(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "bytes\n")
	s.commit()
	s.must(os.WriteFile(s.cfg.Dir+"/hosts/.DS_Store", nil, 0o600))
	s.reopen()
}

// Late bytes of a generation that the table forgot long ago, after a hand-over: another archive holds what is before them.
func TestLateBytesBehindTheTableAreNotMissing(t *testing.T) {
	s := newSite(t)
	s.p.Close()
	elsewhere := wire.Table{}
	for g := uint64(1); g <= 100; g++ {
		b, _ := batch(wire.Open{Source: syslog, Generation: g, Identity: fmt.Sprint("i", g), Previous: 10}, chunk(syslog, g, 0), strings.Repeat("x", 10))
		elsewhere.Apply(g, &b)
	}
	s.take(1, 0)
	s.p.Close()
	s.take(2, 100)
	s.must(s.p.Adopt(web1, elsewhere))
	s.seq, s.end[web1] = 100, 100
	s.send(web1, chunk(syslog, 20, 10), "late\n")
	s.commit()
	s.ledger()
	s.send(web1, chunk(syslog, 20, 20), "later\n") // this gap is one
	s.commit()
	s.ledger("web1 /var/log/syslog 20 [15,20) unexplained @102")
}

// A disk that fails while a segment begins anew stops the partition no longer than it fails.
func TestSegmentThatCannotBeginAnew(t *testing.T) {
	s := newSite(t, func(c *archive.Config) { c.SegmentBytes = 4 << 10 })
	defer archive.SetFault(nil)
	s.send(web1, chunk(syslog, 1, 0), strings.Repeat("a", 4000))
	s.commit()
	m := s.message(web1, chunk(syslog, 1, 4000), strings.Repeat("b", 200), chunk(syslog, 1, 4200), strings.Repeat("c", 200))
	writes := 0
	archive.SetFault(func(where string) error {
		if where == "append: written" {
			if writes++; writes == 2 {
				return syscall.ENOSPC
			}
		}
		return nil
	})
	if err := s.try(m); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	archive.SetFault(func(where string) error {
		if where == "segment: begun" {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := s.try(m); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	archive.SetFault(nil)
	s.must(s.try(m))
	s.commit()
	s.reopen()
	if got := content(t, s.a.Reader, web1, syslog, 1); got != strings.Repeat("a", 4000)+strings.Repeat("b", 200)+strings.Repeat("c", 200) {
		t.Errorf("%d bytes", len(got))
	}
}

// Setting aside meets other partitions that quarantine, commit, open and close. Run it with -race.
func TestSetAsideBesideOtherPartitions(t *testing.T) {
	s := newSite(t)
	other, err := s.a.Partition("LOGS-test-1-9", created, 1, 0)
	s.must(err)
	s.must(other.Quarantine(archive.Quarantined{Sequence: 1, Reason: "?"})) // not committed: its file stands
	defer other.Close()
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Add(1)
	go func() {
		defer wait.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if p, err := s.a.Partition("LOGS-test-1-8", created, 1, 0); err == nil {
				p.Close()
			}
		}
	}()
	for range 20 {
		s.send(web1, chunk(syslog, 1, 0), "aside\n")
		s.commit()
		s.p.Close()
		s.must(s.a.SetAside(streamName, []handover.Range{{Epoch: 1, After: 0, To: s.seq}}))
		s.take(1, 0)
	}
	close(stop)
	wait.Wait()
}

// A host whose directory cannot be read stops its own partition, not those of others.
func TestBadDirectoryOfOneHostStopsNoOtherPartition(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	s.send(web1, chunk(syslog, 1, 4), "not committed\n")
	dir := s.cfg.Dir + "/hosts/" + web1
	s.must(os.Rename(dir, dir+".away"))
	s.must(os.WriteFile(dir, nil, 0o600)) // stands for a disk that cannot read it
	s.p.Close()
	other, err := s.a.Partition("LOGS-test-1-9", created, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.must(other.Close())
	if s.p, err = s.a.Partition(streamName, created, 1, 0); err == nil {
		if s.p.Knows(web1) {
			t.Error("what the host's files hold beyond what is committed was not cut, and it may append")
		}
		s.p.Close()
	}
	s.must(os.Remove(dir))
	s.must(os.Rename(dir+".away", dir))
	s.take(1, 0)
	s.send(web1, chunk(syslog, 1, 4), "two\n")
	s.commit()
	s.file(s.path(web1, syslog), "one\ntwo\n")
}
