package archive_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/archive"
)

const (
	streamName = "LOGS-test-1-0"
	web1       = "web1"
	syslog     = "/var/log/syslog"
)

var created = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// site is an archive under test, with the stream that feeds it.
type site struct {
	*testing.T
	cfg archive.Config
	a   *archive.Archive
	p   *archive.Partition
	seq uint64
	end map[string]uint64 // last sequence of each host
}

func newSite(t *testing.T, change ...func(*archive.Config)) *site {
	cfg := archive.DefaultConfig()
	cfg.Dir, cfg.Compress = filepath.Join(t.TempDir(), "archive"), archive.Uncompressed
	for _, c := range change {
		c(&cfg)
	}
	s := &site{T: t, cfg: cfg, end: map[string]uint64{}}
	s.open()
	t.Cleanup(s.shut)
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// open opens the archive and its partition under epoch 1.
func (s *site) open() {
	s.Helper()
	var err error
	s.a, err = archive.Open(s.cfg)
	s.must(err)
	s.take(1, 0)
}

func (s *site) take(epoch, start uint64) {
	s.Helper()
	var err error
	s.p, err = s.a.Partition(streamName, created, epoch, start)
	s.must(err)
	s.seq = s.p.Committed()
	for host := range s.end {
		s.p.Knows(host)
		s.end[host] = s.p.Table(host).Sequence
	}
}

func (s *site) shut() {
	if s.p != nil {
		s.p.Close()
	}
	if s.a != nil {
		s.a.Close()
	}
	s.p, s.a = nil, nil
}

// reopen forgets what is not committed, as a kill would.
func (s *site) reopen() {
	s.Helper()
	s.shut()
	s.open()
}

// batch is the batch of the parts, with its payload.
func batch(parts ...any) (b wire.Batch, raw []byte) {
	b = wire.Batch{Writer: "w", Number: 1}
	for _, part := range parts {
		switch v := part.(type) {
		case forgets:
			b.Forgets = append(b.Forgets, string(v))
		case wire.Open:
			b.Opens = append(b.Opens, v)
		case wire.Missing:
			b.Missing = append(b.Missing, v)
		case wire.Chunk:
			b.Chunks = append(b.Chunks, v)
		case string:
			b.Chunks[len(b.Chunks)-1].Length = int64(len(v))
			raw = append(raw, v...)
		}
	}
	b.Sum = wire.Sum(raw)
	return b, raw
}

func (s *site) message(host string, parts ...any) archive.Message {
	b, raw := batch(parts...)
	return archive.Message{Host: host, Sequence: s.seq + 1, Expected: s.end[host], HasExpected: true, Batch: b, Raw: raw}
}

func (s *site) try(m archive.Message) error {
	s.Helper()
	if !s.p.Knows(m.Host) {
		s.must(s.p.Adopt(m.Host, wire.Table{}))
	}
	err := s.p.Append(m)
	if err == nil {
		s.seq, s.end[m.Host] = m.Sequence, m.Sequence
	}
	return err
}

func (s *site) send(host string, parts ...any) {
	s.Helper()
	s.must(s.try(s.message(host, parts...)))
}

func (s *site) commit() {
	s.Helper()
	s.must(s.p.Cut().Do())
}

func chunk(source string, generation uint64, offset int) wire.Chunk {
	return wire.Chunk{Source: source, Generation: generation, Offset: int64(offset)}
}

func (s *site) path(host, source string) string {
	return filepath.Join(s.cfg.Dir, "hosts", host, filepath.FromSlash(source))
}

// file wants a file of the archive to hold exactly the text.
func (s *site) file(path, want string) {
	s.Helper()
	got, err := os.ReadFile(path)
	s.must(err)
	if string(got) != want {
		s.Fatalf("%s holds %d bytes %.80q, want %d bytes %.80q", path, len(got), got, len(want), want)
	}
}

func (s *site) absent(path string) {
	s.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		s.Fatalf("%s should not exist (%v)", path, err)
	}
}

// content is what the archive holds of a generation, read through the index.
func content(t testing.TB, r *archive.Reader, host, source string, generation uint64) string {
	t.Helper()
	var b bytes.Buffer
	for src, err := range r.Sources(host) {
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range src.Generations {
			if src.Name != source || g.Number != generation {
				continue
			}
			for _, seg := range g.Segments {
				f, err := r.OpenSegment(seg)
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(&b, f)
				if err != nil || n != seg.Length {
					t.Fatalf("read %s: %d of %d bytes, %v", seg.Path, n, seg.Length, err)
				}
				f.Close()
			}
		}
	}
	return b.String()
}

func (s *site) ledger(want ...string) {
	s.Helper()
	var got []string
	for e, err := range s.a.Ledger() {
		s.must(err)
		got = append(got, fmt.Sprintf("%s %s %d [%d,%d) %s @%d", e.Host, e.Source, e.Generation, e.From, e.To, e.Reason, e.Sequence))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.Fatalf("ledger\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAppendIsVisibleAtOnceAndCommittedAfterDo(t *testing.T) {
	s := newSite(t)
	s.send(web1, chunk(syslog, 1, 0), "one\n")
	s.file(s.path(web1, syslog), "one\n")
	if got := s.p.Committed(); got != 0 {
		t.Fatalf("committed %d before Do", got)
	}
	s.commit()
	if got := s.p.Committed(); got != 1 {
		t.Fatalf("committed %d, want 1", got)
	}
	s.send(web1, chunk(syslog, 1, 4), "two\n")
	s.reopen()
	s.file(s.path(web1, syslog), "one\n")
	s.send(web1, chunk(syslog, 1, 4), "two\n")
	s.commit()
	s.file(s.path(web1, syslog), "one\ntwo\n")
	s.ledger()
}

func TestNewGenerationRotates(t *testing.T) {
	s := newSite(t)
	s.send(web1, wire.Open{Source: syslog, Generation: 1, Identity: "a", Previous: -1}, chunk(syslog, 1, 0), "one\n")
	s.send(web1, wire.Open{Source: syslog, Generation: 2, Identity: "b", Previous: 4}, chunk(syslog, 2, 0), "two\n")
	s.commit()
	s.file(s.path(web1, syslog), "two\n")
	s.file(s.path(web1, syslog)+"%00000001-000000000000000000", "one\n")
	s.send(web1, chunk(syslog, 1, 4), "late\n")
	s.commit()
	s.file(s.path(web1, syslog)+"%00000001-000000000000000004", "late\n")
	s.send(web1, chunk(syslog, 2, 4), "three\n")
	s.commit()
	s.file(s.path(web1, syslog), "two\nthree\n")
	s.reopen()
	s.send(web1, chunk(syslog, 1, 9), "later\n")
	s.commit()
	s.file(s.path(web1, syslog)+"%00000001-000000000000000004", "late\nlater\n")
	if got := content(t, s.a.Reader, web1, syslog, 1); got != "one\nlate\nlater\n" {
		t.Fatalf("generation 1 reads %q", got)
	}
	s.ledger()
}

func TestSegmentsRotateBySize(t *testing.T) {
	s := newSite(t, func(c *archive.Config) { c.SegmentBytes = 4096 })
	line := strings.Repeat("x", 1023) + "\n"
	var want strings.Builder
	for i := range 20 {
		s.send(web1, chunk(syslog, 1, i*1024), line)
		want.WriteString(line)
		if i%3 == 0 {
			s.commit()
		}
	}
	s.commit()
	files, err := filepath.Glob(s.path(web1, syslog) + "*")
	s.must(err)
	if len(files) != 5 {
		t.Fatalf("%d files, want 5: %q", len(files), files)
	}
	if got := content(t, s.a.Reader, web1, syslog, 1); got != want.String() {
		t.Fatalf("%d bytes, want %d", len(got), want.Len())
	}
}
