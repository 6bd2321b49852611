package archive_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
)

// A batch may open more generations than a table remembers: a log that was rotated empty for months. What the table forgets while it is applied must
// not count as listed.
func TestBatchThatOpensMoreGenerationsThanATableHolds(t *testing.T) {
	s := newSite(t)
	var opens []any
	for g := range uint64(80) {
		opens = append(opens, wire.Open{Source: syslog, Generation: g + 1, Identity: fmt.Sprint("id", g+1), Previous: min(int64(g), 1) - 1})
	}
	s.send(web1, append(opens, chunk(syslog, 80, 0), "one\n")...)
	s.commit()
	s.reopen()
	s.send(web1, chunk(syslog, 80, 4), "two\n")
	s.commit()
	s.file(s.path(web1, syslog), "one\ntwo\n")
	s.ledger()
	if n := len(s.p.Table(web1).Sources[syslog]); n != 64 {
		t.Errorf("the table holds %d generations, want 64", n)
	}
}

// The table in the bucket lags: after a restored archive was read again it is mostly older than the archive. It adds what is absent, and takes nothing back.
func TestMissingNeverGoesBack(t *testing.T) {
	s := newSite(t)
	s.send(web1, open(syslog, 1, "a"), chunk(syslog, 1, 0), "one\n", open("/gone", 1, "g"), chunk("/gone", 1, 0), "gone\n")
	old := s.p.Table(web1)
	s.send(web1, chunk(syslog, 1, 4), "two\n")
	s.send(web1, wire.Open{Source: syslog, Generation: 2, Identity: "b", Previous: 8}, chunk(syslog, 2, 0), "three\n")
	e := old.Find("/gone", 1)
	e.Offset = 9
	want := s.p.Table(web1)
	*want.Find("/gone", 1) = *e
	s.must(s.p.Missing(web1, old))
	s.commit()
	s.reopen()
	if got := s.p.Table(web1); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("table is\n%+v, want\n%+v", got, want)
	}
	s.send(web1, chunk(syslog, 2, 6), "four\n", chunk("/gone", 1, 9), "back\n")
	s.send(web1, chunk(syslog, 1, 8), "late\n")
	s.commit()
	s.ledger("web1 /gone 1 [5,9) archive-restored @1")
	s.file(s.path(web1, syslog), "three\nfour\n")
}

// A file that was begun for a message that failed is unknown to the index. When the partition is opened anew it must not stand where another source needs a
// directory.
func TestFileOfAFailedMessageIsNotInTheWay(t *testing.T) {
	s := newSite(t)
	archive.SetFault(func(where string) error {
		if where == "append: written" {
			return errors.New("disk fails")
		}
		return nil
	})
	defer archive.SetFault(nil)
	if err := s.try(s.message(web1, chunk("/x", 1, 0), "one\n")); err == nil {
		t.Fatal("the fault was not met")
	}
	archive.SetFault(nil)
	s.commit()
	s.must(s.p.Close())
	s.take(1, 0)
	s.send(web1, chunk("/x/y", 1, 0), "two\n")
	s.commit()
	s.file(s.path(web1, "/x/y"), "two\n")
}
