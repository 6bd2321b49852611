package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
)

// put stores a message at the end of the host's chain, as nobody but a broken agent would.
func (v *view) put(header nats.Header, payload []byte) {
	v.t.Helper()
	msg := &nats.Msg{Subject: wire.LogSubject(host), Header: header, Data: payload}
	_, err := v.js.PublishMsg(v.ctx, msg, jetstream.WithExpectLastSequencePerSubject(v.head()))
	must(v.t, err)
}

// batch is one chunk of generation 1 of a source, sound in itself.
func batch(src *source, from, to int64) (wire.Batch, []byte) {
	all := src.bytes()
	raw := all[from:to]
	tail := all[max(0, to-64):to]
	return wire.Batch{Writer: "someone", Number: 1, Sum: wire.Sum(raw), Chunks: []wire.Chunk{{
		Source: src.path, Generation: 1, Offset: from, Length: to - from, Lines: 1, Check: wire.Check{Len: len(tail), Sum: wire.Sum(tail)},
	}}}, raw
}

// T10: bytes that do not match their sum go to quarantine: one entry with the right range, nothing missing beside it, and the bytes after them are archived.
func TestChaosQuarantine(t *testing.T) {
	slow(t)
	for name, spoil := range map[string]func(b *wire.Batch, h nats.Header, raw []byte) []byte{
		"bad sum":     func(_ *wire.Batch, _ nats.Header, raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw },
		"short":       func(_ *wire.Batch, _ nats.Header, raw []byte) []byte { return raw[:len(raw)-1] },
		"bad payload": func(_ *wire.Batch, h nats.Header, raw []byte) []byte { h.Set(wire.HeaderEncoding, "zstd"); return raw },
	} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t, options{})
			src := s.newSource("app.log")
			src.lines(500)
			s.arrived(src)
			s.agent.stop()
			from := src.size()
			src.lines(50)
			to := src.size()
			src.lines(50)
			b, raw := batch(src, from, to)
			header := nats.Header{}
			b.Put(header)
			v := s.view()
			v.put(header, spoil(&b, header, bytes.Clone(raw)))
			s.agent.start()
			src.lines(100)
			s.settlesWithout(map[*source][2]int64{src: {from, to}}, []gap{{source: src.path, generation: 1, from: from, to: to, reason: "quarantined"}})
			s.quarantined(1)
		})
	}
}

// quarantined counts the messages in quarantine/.
func (s *site) quarantined(want int) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.archiveDir, "quarantine", "*"))
	must(s.t, err)
	if len(files) != want {
		s.t.Errorf("quarantine holds %v, want %d messages", files, want)
	}
}

// A message that is no batch stops nothing: it goes to quarantine, and its host ships on.
func TestChaosQuarantineOfWhatIsNoBatch(t *testing.T) {
	slow(t)
	for name, spoil := range map[string]func(nats.Header){
		"no headers":   func(h nats.Header) { clear(h) },
		"bad chunk":    func(h nats.Header) { h.Set(wire.HeaderChunk, "1 x") },
		"other number": func(h nats.Header) { h.Set(wire.HeaderVersion, "99") },
	} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t, options{})
			src := s.newSource("app.log")
			src.lines(500)
			s.arrived(src)
			b, raw := batch(src, 0, 10)
			header := nats.Header{}
			b.Put(header)
			spoil(header)
			v := s.view()
			v.put(header, raw)
			src.lines(100)
			s.arrived(src)
			s.agent.stop()
			s.receiver.stop()
			s.equal(src)
			if got := readLedger(t, s.archiveDir); len(got) != 1 || got[0].reason != "quarantined" || got[0].source != "" {
				t.Errorf("ledger holds %v, want one message in quarantine", got)
			}
			s.quarantined(1)
			s.invariants()
		})
	}
}

// The receiver is killed again and again while a row of bad messages goes to quarantine.
func TestChaosQuarantineAndKills(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{})
	src := s.newSource("app.log")
	src.lines(500)
	s.arrived(src)
	s.agent.stop()
	v := s.view()
	var want []gap
	from := src.size()
	start := from
	for range length(10) {
		src.lines(20)
		to := src.size()
		b, raw := batch(src, from, to)
		b.Sum++
		header := nats.Header{}
		b.Put(header)
		v.put(header, raw)
		want = append(want, gap{source: src.path, generation: 1, from: from, to: to, reason: "quarantined"})
		wait(r, 100*time.Millisecond)
		s.receiver.restart()
		from = to
	}
	s.agent.start()
	src.lines(100)
	s.settlesWithout(map[*source][2]int64{src: {start, from}}, want)
	s.quarantined(len(want))
}

// T10: a byte in the hub's own files is flipped, in the payload of a batch in the middle of the stream. After a clean end the server skips that one
// message: the ledger names its bytes. After a kill it drops the message and all behind it: the agent has not forgotten those, and ships them again.
func TestChaosFlippedByteInTheStore(t *testing.T) {
	slow(t)
	for _, end := range []string{"stopped", "killed"} {
		t.Run(end, func(t *testing.T) {
			s := newSite(t, options{agent: []string{"--codec", "none"}})
			s.hub.start().ready()
			s.agent.start().ready()
			src := s.newSource("app.log")
			for range 5 {
				src.lines(100)
				s.shipped(src)
			}
			s.agent.stop()
			v := s.view()
			victim := v.messages(v.partition())[2]
			b, err := wire.ParseBatch(victim.Header)
			must(t, err)
			from := b.Chunks[0].Offset
			to := from + b.Raw()
			v.nc.Close()
			if end == "killed" {
				s.hub.kill()
			} else {
				s.hub.stop()
			}
			s.flip(victim.Data[:min(200, len(victim.Data))])
			s.hub.start().ready()
			s.receiver.start()
			s.agent.start()
			src.lines(100)
			if end == "killed" {
				s.settle(nil, src)
				return
			}
			s.arrivesWithout(map[*source][2]int64{src: {from, to}})
			s.ledger([]gap{{source: src.path, generation: 1, from: from, to: to, reason: "chain-broken"}})
		})
	}
}

// flip changes one byte in the block file that holds the needle.
func (s *site) flip(needle []byte) {
	s.t.Helper()
	blocks, err := filepath.Glob(filepath.Join(s.storeDir, "*/*/*/streams/*/msgs/*.blk"))
	must(s.t, err)
	more, err := filepath.Glob(filepath.Join(s.storeDir, "*/*/streams/*/msgs/*.blk"))
	must(s.t, err)
	for _, path := range append(blocks, more...) {
		data, err := os.ReadFile(path)
		must(s.t, err)
		if i := bytes.Index(data, needle); i >= 0 {
			data[i+len(needle)/2] ^= 1
			must(s.t, os.WriteFile(path, data, 0o640))
			s.t.Logf("flipped byte %d of %s (%d bytes)", i+len(needle)/2, path, len(data))
			return
		}
	}
	s.t.Fatalf("no block holds %q; blocks: %v %v", needle, blocks, more)
}
