package archive_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
)

func open(source string, generation uint64, identity string) wire.Open {
	return wire.Open{Source: source, Generation: generation, Identity: identity, Previous: -1}
}

func missing(source string, generation uint64, from, to int64) wire.Missing {
	return wire.Missing{Source: source, Generation: generation, From: from, To: to, Reason: "deleted"}
}

func TestDoubledBytesAreDropped(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\ntwo\n")
	s.send(web1, chunk(syslog, 1, 0), "one\n")          // wholly below
	s.send(web1, chunk(syslog, 1, 4), "two\nthree\n")   // straddles
	s.send(web1, chunk(syslog, 1, 0), "one\ntwo\nth\n") // and lies about it: position decides
	s.commit()
	s.file(s.path(web1, syslog), "one\ntwo\nthree\n")
	if got := s.a.Stats(); got.DoubledBytes != 4+4+11 || got.AppendedBytes != 14 {
		t.Errorf("got %+v", got)
	}
	s.ledger()
}

func TestGapIsUnexplainedUnlessDeclared(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.send(web1, chunk(syslog, 1, 10), "three\n")
	s.send(web1, missing(syslog, 1, 16, 20), chunk(syslog, 1, 20), "five\n")
	s.send(web1, missing(syslog, 1, 10, 20)) // they came
	s.send(web1, missing(syslog, 1, 20, 30)) // five of them came
	s.send(web1, missing(syslog, 1, 40, -1)) // after a gap, an unknown end
	s.commit()
	s.ledger(
		"web1 /var/log/syslog 1 [4,10) unexplained @2",
		"web1 /var/log/syslog 1 [16,20) deleted @3",
		"web1 /var/log/syslog 1 [25,30) deleted @5",
		"web1 /var/log/syslog 1 [30,40) unexplained @6",
		"web1 /var/log/syslog 1 [40,-1) deleted @6",
	)
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "one\nthree\nfive\n" {
		t.Errorf("got %q", got)
	}
	if got := s.a.Stats().MissingBytes; got["deleted"] != 9 || got[archive.ReasonUnexplained] != 16 {
		t.Errorf("got %v", got)
	}
}

func TestChainThatDoesNotLinkIsInTheLedger(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	m := s.message(web1, chunk(syslog, 1, 4), "two\n")
	m.Expected = 7
	s.must(s.try(m))
	m = s.message(web1, chunk(syslog, 1, 8), "three\n")
	m.HasExpected = false
	s.must(s.try(m))
	s.commit()
	s.ledger("web1  0 [0,0) chain-broken @2", "web1  0 [0,0) chain-broken @3")
	s.file(s.path(web1, syslog), "one\ntwo\nthree\n")
}

func TestBytesOfALostMessageAreOneEntry(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	m := s.message(web1, chunk(syslog, 1, 9), "three\n")
	m.Expected = 7
	s.must(s.try(m))
	s.send(web1, chunk(syslog, 1, 15), "four\n")
	s.commit()
	s.ledger("web1 " + syslog + " 1 [4,9) chain-broken @2")
}

func TestAnotherFileUnderOneGenerationGoesToQuarantine(t *testing.T) {
	s := newSite(t)
	s.send(web1, open(syslog, 1, "a"), chunk(syslog, 1, 0), "one\n")
	claim := s.message(web1, chunk("/other", 1, 0), "fine\n", open(syslog, 1, "b"), chunk(syslog, 1, 0), "foreign\n")
	if err := s.try(claim); !errors.Is(err, archive.ErrQuarantine) {
		t.Fatalf("got %v, want ErrQuarantine", err)
	}
	s.absent(s.path(web1, "/other"))
	quarantine(s, claim)
	follow := s.message(web1, chunk(syslog, 1, 8), "more of it\n")
	if err := s.try(follow); !errors.Is(err, archive.ErrQuarantine) {
		t.Fatalf("what follows: got %v, want ErrQuarantine", err)
	}
	quarantine(s, follow)
	s.commit()
	s.reopen()
	s.file(s.path(web1, syslog), "one\n")
	s.ledger(
		"web1 /other 1 [0,5) quarantined @2",
		"web1 /var/log/syslog 1 [0,8) quarantined @2",
		"web1 /var/log/syslog 1 [8,19) quarantined @3",
	)
	if again := s.message(web1, chunk(syslog, 1, 19), "x\n"); !errors.Is(s.try(again), archive.ErrQuarantine) {
		t.Error("after a restart the foreign file is taken for the archived one")
	}
}

func quarantine(s *site, m archive.Message) {
	s.Helper()
	s.must(s.p.Quarantine(archive.Quarantined{
		Subject: "part.1.0." + m.Host, Host: m.Host, Sequence: m.Sequence, Header: m.Header, Payload: m.Payload, Reason: "because", Batch: &m.Batch,
	}))
	s.seq, s.end[m.Host] = m.Sequence, m.Sequence
}

func TestQuarantineKeepsTheMessageAndItsRange(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	m := s.message(web1, chunk(syslog, 1, 4), "two\n", chunk(syslog, 1, 8), "three\n")
	m.Header, m.Payload = map[string][]string{"Logdrive-Sum": {"wrong"}}, []byte("\x00rubbish")
	quarantine(s, m)
	s.send(web1, chunk(syslog, 1, 14), "four\n")
	s.commit()
	s.ledger("web1 /var/log/syslog 1 [4,14) quarantined @2")
	s.file(s.cfg.Dir+"/quarantine/"+streamName+"-2",
		"Subject: part.1.0.web1\r\nSequence: 2\r\nReason: because\r\nLogdrive-Sum: wrong\r\n\r\n\x00rubbish")
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "one\nfour\n" {
		t.Errorf("got %q", got)
	}
}

func TestUnreadableMessageGetsItsRangeFromWhatFollows(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n", chunk("/b", 1, 0), "b\n")
	s.must(s.p.Quarantine(archive.Quarantined{Host: web1, Sequence: 2, Reason: "no headers"}))
	s.seq, s.end[web1] = 2, 2
	s.commit()
	s.ledger("web1  0 [0,0) quarantined @2")
	s.reopen()
	s.send(web1, chunk(syslog, 1, 8), "three\n")
	s.commit()
	s.ledger("web1 /var/log/syslog 1 [4,8) quarantined @2")
	s.send(web1, chunk(syslog, 1, 20), "four\n") // its own gap: the generation was spoken of since
	s.send(web1, chunk("/b", 1, 5), "c\n")       // the message held bytes of two sources
	s.commit()
	s.ledger(
		"web1 /b 1 [2,5) quarantined @2",
		"web1 /var/log/syslog 1 [4,8) quarantined @2",
		"web1 /var/log/syslog 1 [14,20) unexplained @4",
	)
}

func TestMessageOfNobodyIsQuarantined(t *testing.T) {
	s := newSite(t)
	s.must(s.p.Quarantine(archive.Quarantined{Subject: "part.1.0.-\r\nx", Sequence: 1, Payload: []byte("?"), Reason: "no host"}))
	s.commit()
	s.ledger("  0 [0,0) quarantined @1")
	s.file(s.cfg.Dir+"/quarantine/"+streamName+"-1", "Subject: part.1.0.-\\r\\nx\r\nSequence: 1\r\nReason: no host\r\n\r\n?")
}

func TestUncommittedQuarantineIsForgotten(t *testing.T) {
	s := newSite(t)
	s.must(s.p.Quarantine(archive.Quarantined{Host: "", Sequence: 1, Reason: "no host"}))
	s.reopen()
	s.absent(s.cfg.Dir + "/quarantine/" + streamName + "-1")
	s.ledger()
}

func TestAdoptedPositionsAreNotMissing(t *testing.T) {
	s := newSite(t)
	if err := s.p.Append(s.message(web1, chunk(syslog, 2, 100), "x\n")); err == nil {
		t.Fatal("appended without positions")
	}
	elsewhere := wire.Table{}
	b, _ := batch(open(syslog, 1, "a"), chunk(syslog, 1, 0), strings.Repeat("x", 50), open(syslog, 2, "b"), chunk(syslog, 2, 0), strings.Repeat("y", 100))
	elsewhere.Apply(0, &b)
	s.must(s.p.Adopt(web1, elsewhere))
	s.send(web1, chunk(syslog, 2, 100), "here\n")
	s.send(web1, chunk(syslog, 1, 0), strings.Repeat("x", 50))
	s.commit()
	s.reopen()
	if !s.p.Knows(web1) {
		t.Error("the host is not known any more")
	}
	s.send(web1, chunk(syslog, 2, 105), "too\n")
	s.commit()
	s.ledger()
	s.file(s.path(web1, syslog), "here\ntoo\n")
	if got := s.a.Stats(); got.DoubledBytes != 0 {
		t.Errorf("got %+v", got)
	}
	s.p.Close()
	s.take(2, s.seq)
	if s.p.Knows(web1) {
		t.Error("positions of an earlier epoch are taken for those of this one")
	}
}

func TestTableIsThatOfTheChain(t *testing.T) {
	s := newSite(t)
	var want wire.Table
	send := func(parts ...any) {
		s.send(web1, parts...)
		b, _ := batch(parts...)
		want.Apply(s.seq, &b)
	}
	for g := uint64(1); g < 80; g++ {
		send(wire.Open{Source: syslog, Generation: g, Identity: "i", Previous: 4}, chunk(syslog, g, 0), "one\n")
		if g == 40 {
			s.commit()
			s.reopen()
		}
	}
	send(missing("/gone", 1, 0, -1))
	compare := func() {
		t.Helper()
		got := s.p.Table(web1)
		a, errA := got.Encode()
		b, errB := want.Encode()
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	compare()
	s.commit()
	s.reopen()
	s.p.Knows(web1)
	compare()
	s.send(web1, chunk(syslog, 1, 0), "one\n") // it left the table, but its bytes are here
	if got := s.a.Stats().DoubledBytes; got != 4 {
		t.Errorf("%d bytes doubled, want 4", got)
	}
}

func TestHealing(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	s.p.HealTo(9)
	s.seq = 5 // 2 to 5 are purged
	m := s.message(web1, chunk(syslog, 1, 20), "six\n")
	m.Expected = 5
	s.must(s.try(m))
	var table wire.Table
	b, _ := batch(open(syslog, 1, "a"), chunk(syslog, 1, 0), strings.Repeat("x", 40), open("/idle", 1, "b"), chunk("/idle", 1, 0), "x")
	table.Apply(8, &b)
	s.must(s.p.Missing(web1, table))
	s.commit()
	if got := s.p.Committed(); got != 6 {
		t.Errorf("committed %d, want 6", got)
	}
	s.seq, s.end[web1] = 9, 8
	s.send(web1, chunk(syslog, 1, 40), "ten\n")
	s.commit()
	s.ledger(
		"web1 /idle 1 [0,1) archive-restored @8",
		"web1 /var/log/syslog 1 [4,20) archive-restored @6",
		"web1 /var/log/syslog 1 [24,40) archive-restored @8",
	)
}

// That messages are gone stands in the ledger from the commit on that passes them, until entries that name bytes say it better: in that commit, or in a later one.
func TestWhatIsGoneIsNamedAtTheEnd(t *testing.T) {
	for _, between := range []bool{false, true} {
		s := newSite(t)
		s.p.HealTo(9)
		s.p.Lacks(9)
		s.send(web1, chunk(syslog, 1, 0), "one\n")
		if between {
			s.commit()
			s.ledger("  0 [0,-1) archive-restored @9")
			s.reopen()
			s.p.HealTo(9)
		}
		s.p.Named(9)
		s.p.PassTo(9)
		s.commit()
		s.ledger()
		if got := s.p.Committed(); got != 9 {
			t.Errorf("committed %d, want 9", got)
		}
	}
}

func TestManyFilesWithFewOpen(t *testing.T) {
	s := newSite(t, func(c *archive.Config) { c.MaxOpen = 8 })
	var parts []any
	name := func(i int) string {
		return "/app/" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + "/" + strings.Repeat("y", i/26+1)
	}
	for i := range 300 {
		parts = append(parts, chunk(name(i), 1, 0), "one\n")
	}
	s.send(web1, parts...)
	if got := s.a.Stats().OpenFiles; got > 8 {
		t.Errorf("%d files open", got)
	}
	s.commit()
	s.send(web1, chunk(name(0), 1, 4), "two\n", chunk(name(299), 1, 4), "two\n")
	s.commit()
	s.reopen()
	s.file(s.path(web1, name(0)), "one\ntwo\n")
	s.file(s.path(web1, name(150)), "one\n")
	s.ledger()
}

func TestFileInTheWayIsMovedNotOverwritten(t *testing.T) {
	s := newSite(t)
	s.must(os.MkdirAll(s.path(web1, "/var/log"), 0o755))
	s.must(os.WriteFile(s.path(web1, syslog), []byte("precious"), 0o644))
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.file(s.path(web1, syslog), "one\n")
	entries, err := os.ReadDir(s.cfg.Dir + "/superseded")
	s.must(err)
	if len(entries) != 1 {
		t.Fatalf("got %v", entries)
	}
	s.file(s.cfg.Dir+"/superseded/"+entries[0].Name(), "precious")
}

func TestLinksAreNotFollowed(t *testing.T) {
	s := newSite(t)
	outside := t.TempDir()
	s.must(os.MkdirAll(s.path(web1, "/"), 0o755))
	s.must(os.Symlink(outside, s.path(web1, "/var")))
	if err := s.try(s.message(web1, chunk(syslog, 1, 0), "one\n")); err == nil {
		t.Error("appended through a link that leaves the archive")
	}
	s.must(os.Remove(s.path(web1, "/var")))
	s.must(os.Symlink(outside+"/stolen", s.path(web1, "/x")))
	s.send(web1, chunk("/x", 1, 0), "one\n")
	s.absent(outside + "/stolen")
	s.absent(outside + "/log")
}
