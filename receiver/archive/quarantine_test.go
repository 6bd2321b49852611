package archive_test

import (
	"os"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// unreadable comes between the two lines around it.
func (s *site) unreadable(between func()) {
	s.Helper()
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.commit()
	s.must(s.p.Quarantine(archive.Quarantined{Host: web1, Sequence: 2, Reason: "no headers", Payload: []byte("two\n")}))
	s.seq, s.end[web1] = 2, 2
	between()
	s.send(web1, chunk(syslog, 1, 8), "three\n")
	s.commit()
	s.ledger("web1 /var/log/syslog 1 [4,8) quarantined @2")
}

const inQuarantine = "Subject: \r\nSequence: 2\r\nReason: no headers\r\n\r\ntwo\n"

// The entry that had no range yet is gone, whether or not a commit lies between the two.
func TestUnreadableMessageHasOneEntry(t *testing.T) {
	t.Run("in one commit", func(t *testing.T) { newSite(t).unreadable(func() {}) })
	t.Run("in two", func(t *testing.T) {
		s := newSite(t)
		s.unreadable(s.commit)
	})
}

func TestSetAsideWithAnEntryThatIsGone(t *testing.T) {
	s := newSite(t)
	s.unreadable(s.commit)
	s.must(s.p.Close())
	s.must(s.a.SetAside(streamName, []handover.Range{{Epoch: 1, After: 1, To: 3}}))
	s.ledger()
	s.file(s.cfg.Dir+"/superseded/1/"+streamName+"/1-3/quarantine/"+streamName+"-2", inQuarantine)
}

// Without its index an archive does not know which messages in quarantine it has committed, and would take them all away: they may be the only copies.
func TestArchiveIsNotFoundedBesideQuarantine(t *testing.T) {
	s := newSite(t)
	s.unreadable(s.commit)
	s.shut()
	s.must(os.Remove(s.cfg.Dir + "/index.db"))
	s.must(os.Rename(s.cfg.Dir+"/hosts", s.cfg.Dir+"/hosts.old"))
	if _, err := archive.Open(s.cfg); err == nil || !strings.Contains(err.Error(), "quarantine/") {
		t.Fatalf("open: %v; want a refusal that says what is in the way", err)
	}
	s.file(s.cfg.Dir+"/quarantine/"+streamName+"-2", inQuarantine)
	s.must(os.Rename(s.cfg.Dir+"/quarantine", s.cfg.Dir+"/quarantine.old"))
	s.open()
}
