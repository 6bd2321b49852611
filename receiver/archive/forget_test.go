package archive_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
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

// forgets is a source that a batch declares finished.
type forgets string

// A finished source leaves the host's table, its positions stay: what comes of it once more is doubled, and under its next number it begins anew.
func TestForgottenSourceComesBack(t *testing.T) {
	s := newSite(t)
	s.send(web1, open(syslog, 1, "a"), chunk(syslog, 1, 0), "one\n", open("/b", 1, "b"), chunk("/b", 1, 0), "b\n")
	s.commit()
	s.send(web1, forgets(syslog), forgets("/never/seen"))
	s.commit()
	s.reopen()
	table := s.p.Table(web1)
	if len(table.Sources) != 1 || table.Forgotten != 1 || table.Sequence != 2 {
		t.Errorf("table is %+v", table)
	}
	s.send(web1, open(syslog, 2, "c"), chunk(syslog, 2, 0), "two\n")
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	s.file(s.path(web1, syslog), "two\n")
	s.ledger()
	if got := s.a.Stats().DoubledBytes; got != 4 {
		t.Errorf("%d bytes are doubled, want 4", got)
	}
}

// The table of an archive is that of the chain, whatever is forgotten in it and wherever the archive is opened anew.
func TestTableOfTheArchiveIsThatOfTheChain(t *testing.T) {
	s := newSite(t)
	var want wire.Table
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		source := fmt.Sprint("/", r.IntN(6))
		parts := []any{}
		if r.IntN(3) == 0 {
			parts = append(parts, forgets(fmt.Sprint("/", r.IntN(6))))
		}
		if extents := want.Sources[source]; len(extents) == 0 || r.IntN(4) == 0 {
			b, _ := batch(parts...)
			after := want.Clone()
			after.Apply(0, &b)
			g := after.Next(source)
			parts = append(parts, wire.Open{Source: source, Generation: g, Identity: fmt.Sprint("id", n), Previous: int64(r.IntN(9)) - 1}, chunk(source, g, 0), "line\n")
		} else {
			last := extents[len(extents)-1]
			parts = append(parts, chunk(source, last.Generation, int(last.Offset)), "line\n")
		}
		m := s.message(web1, parts...)
		want.Apply(m.Sequence, &m.Batch)
		s.send(web1, parts...)
		if r.IntN(5) == 0 {
			s.commit()
			s.reopen()
		}
		s.p.Knows(web1)
		if got := s.p.Table(web1); !reflect.DeepEqual(got, want) {
			t.Fatalf("batch %d: table is\n%+v, want\n%+v", n, got, want)
		}
	}
}

// An archive is restored from an old copy, and the stream still has the end of the chain only. Its table was written before that end finished /a and /b, of which /b came
// back: neither must be brought back from it.
func TestHealedTableLacksWhatWasFinished(t *testing.T) {
	var chain wire.Table
	s := newSite(t)
	purged, _ := batch(open("/a", 1, "a"), chunk("/a", 1, 0), "aaa\n", open("/b", 1, "b"), chunk("/b", 1, 0), "bbb\n", open("/c", 1, "c"), chunk("/c", 1, 0), "ccc\n")
	chain.Apply(1, &purged)
	bucket := chain.Clone()
	s.seq, s.end[web1] = 1, 1
	s.p.HealTo(3)
	for _, parts := range [][]any{
		{forgets("/a"), forgets("/b")},
		{open("/b", 2, "B"), chunk("/b", 2, 0), "new\n"},
	} {
		m := s.message(web1, parts...)
		chain.Apply(m.Sequence, &m.Batch)
		s.send(web1, parts...)
	}
	s.must(s.p.Missing(web1, bucket))
	s.p.HealTo(0)
	s.commit()
	s.reopen()
	s.p.Knows(web1)
	if got := s.p.Table(web1); !reflect.DeepEqual(got, chain) {
		t.Errorf("table is\n%+v, want\n%+v", got, chain)
	}
	s.ledger("web1 /a 1 [0,4) archive-restored @1", "web1 /b 1 [0,4) archive-restored @1", "web1 /c 1 [0,4) archive-restored @1")
	s.file(s.path(web1, "/b"), "new\n")
}
