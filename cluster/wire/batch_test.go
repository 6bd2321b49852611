package wire_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/logdrive/logdrive/cluster/wire"
)

// sample has every kind of declaration, and a source that needs escaping.
func sample() wire.Batch {
	return wire.Batch{
		Writer:  "W7",
		Number:  4711,
		Forgets: []string{"/var/log/containers/job one.log"},
		Opens:   []wire.Open{{Source: "/var/log/nginx/access.log", Generation: 3, Identity: "fd00-1a2b-0-12-9f", Previous: 7340032}},
		Missing: []wire.Missing{
			{Source: "/var/log/nginx/access.log", Generation: 2, From: 4096, To: 8192, Reason: "deleted"},
			{Source: "/var/log/nginx/access.log", Generation: 1, From: 10, To: -1, Reason: "overwritten"},
		},
		Chunks: []wire.Chunk{
			{Source: "/var/log/nginx/access.log", Generation: 3, Offset: 0, Length: 65536, Lines: 812, Check: wire.Check{Len: 1024, Sum: 0xabc}},
			{Source: "/srv/my logs/50%\n\xff.log", Generation: 1, Offset: 1048576, Length: 6, Lines: 1},
		},
		Sum:      0x1234,
		Encoding: wire.CodecZstd,
	}
}

// TestHeadersAreReadable pins the format that `nats sub --headers-only` shows and that other versions must go on to read.
func TestHeadersAreReadable(t *testing.T) {
	msg := nats.NewMsg(wire.LogSubject("web1"))
	b := sample()
	b.Put(msg.Header)
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(msg.Header)) {
		for _, v := range msg.Header[name] {
			lines = append(lines, name+": "+v)
		}
	}
	want := `Content-Encoding: zstd
Logdrive-Batch: 4711
Logdrive-Chunk: 3 0 65536 812 1024:0000000000000abc /var/log/nginx/access.log
Logdrive-Chunk: 1 1048576 6 1 0:0000000000000000 /srv/my%20logs/50%25%0A%FF.log
Logdrive-Forget: /var/log/containers/job%20one.log
Logdrive-Missing: 2 4096 8192 deleted /var/log/nginx/access.log
Logdrive-Missing: 1 10 -1 overwritten /var/log/nginx/access.log
Logdrive-Open: 3 fd00-1a2b-0-12-9f 7340032 /var/log/nginx/access.log
Logdrive-Sum: 0000000000001234
Logdrive-Version: 1
Logdrive-Writer: W7`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("headers are\n%s\nwant\n%s", got, want)
	}
}

func TestParseIsTheInverseOfPut(t *testing.T) {
	want := sample()
	h := map[string][]string{}
	want.Put(h)
	got, err := wire.ParseBatch(h)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %+v, want %+v", got, want)
	}
	if raw := got.Raw(); raw != 65542 {
		t.Errorf("Raw is %d, want 65542", raw)
	}
}

// TestHeadersSurviveTheWire sends sources of any bytes through the client's own header codec: what it trims or refuses must have been escaped.
func TestHeadersSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := "/" + string(rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 64).Draw(t, "source"))
		want := wire.Batch{Writer: "w", Chunks: []wire.Chunk{{Source: source, Generation: 1, Length: 1}}}
		msg := nats.NewMsg("logs.h")
		want.Put(msg.Header)
		for name, values := range msg.Header {
			for _, v := range values {
				if strings.ContainsAny(v, "\r\n") || strings.TrimSpace(v) != v {
					t.Fatalf("%s: %q would be changed on its way", name, v)
				}
			}
		}
		got, err := wire.ParseBatch(msg.Header)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("parsed %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestMalformedHeadersAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		header string
		values []string
		says   string
	}{
		{"no version", wire.HeaderVersion, nil, "Logdrive-Version is absent"},
		{"other version", wire.HeaderVersion, []string{"2"}, `Logdrive-Version is "2", this program speaks 1`},
		{"version twice", wire.HeaderVersion, []string{"1", "1"}, "stands 2 times"},
		{"no writer", wire.HeaderWriter, nil, "Logdrive-Writer is absent"},
		{"batch is no number", wire.HeaderBatch, []string{"many"}, `"many" is no number`},
		{"sum is no number", wire.HeaderSum, []string{"xyz"}, `"xyz" is no number`},
		{"sum too long", wire.HeaderSum, []string{"10000000000000000"}, "is no number"},
		{"chunk of five fields", wire.HeaderChunk, []string{"1 0 1 1 /a"}, "has 5 fields, not 6"},
		{"empty chunk", wire.HeaderChunk, []string{"1 0 0 0 0:0 /a"}, "no number of 1 or more"},
		{"negative offset", wire.HeaderChunk, []string{"1 -1 1 0 0:0 /a"}, "no number of 0 or more"},
		{"generation 0", wire.HeaderChunk, []string{"0 0 1 0 0:0 /a"}, "generation 0"},
		{"check without colon", wire.HeaderChunk, []string{"1 0 1 0 00 /a"}, `check "00" is not length:sum`},
		{"no source", wire.HeaderChunk, []string{"1 0 1 0 0:0 "}, `source ""`},
		{"source with a space", wire.HeaderChunk, []string{"1 0 1 0 0:0 /a b"}, `source "/a b"`},
		{"source with a cut escape", wire.HeaderChunk, []string{"1 0 1 0 0:0 /a%2"}, "source"},
		{"source with a lower case escape", wire.HeaderChunk, []string{"1 0 1 0 0:0 /a%0a"}, "source"},
		{"source with a needless escape", wire.HeaderChunk, []string{"1 0 1 0 0:0 /%61"}, "source"},
		{"offset beyond sums", wire.HeaderChunk, []string{"1 9223372036854775807 1 0 0:0 /a"}, "chunk of 1 bytes at"},
		{"huge chunk", wire.HeaderChunk, []string{"1 0 67108865 0 0:0 /a"}, "chunk of 67108865 bytes"},
		{"huge batch", wire.HeaderChunk, []string{"1 0 67108864 0 0:0 /a", "1 67108864 1 0 0:0 /a"}, "67108865 raw bytes, at most 67108864"},
		{"generation beyond counting", wire.HeaderChunk, []string{"4611686018427387905 0 1 0 0:0 /a"}, "generation 4611686018427387905"},
		{"forgets nothing", wire.HeaderForget, []string{""}, `source ""`},
		{"forgets what is not escaped", wire.HeaderForget, []string{"/a b"}, `source "/a b"`},
		{"long identity", wire.HeaderOpen, []string{"1 " + strings.Repeat("x", 257) + " -1 /a"}, "identity of 257 bytes"},
		{"identity that JSON would change", wire.HeaderOpen, []string{"1 a\xff -1 /a"}, "identity"},
		{"empty identity", wire.HeaderOpen, []string{"1  -1 /a"}, "empty word"},
		{"empty range", wire.HeaderMissing, []string{"1 5 5 deleted /a"}, "empty range"},
		{"range backwards", wire.HeaderMissing, []string{"1 5 4 deleted /a"}, "empty range"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := map[string][]string{}
			b := sample()
			b.Put(h)
			h[tt.header] = tt.values
			_, err := wire.ParseBatch(h)
			if !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want ErrMalformed that says %q", err, tt.says)
			}
		})
	}
}

// FuzzParseBatch: whatever the headers are, parsing neither panics nor accepts what would not be written back as it came.
func FuzzParseBatch(f *testing.F) {
	f.Add("1", "W7", "4711", "1234", "zstd", "/b", "3 ident 7340032 /a", "2 4096 8192 deleted /a", "3 0 6 1 6:00 /a%20b")
	f.Add("1", "W", "0", "0", "", "/%0A", "1 i -1 /a", "1 0 -1 gone /a", "1 0 67108864 0 0:0 /%00")
	f.Add("", "", "", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, version, writer, number, sum, encoding, forget, open, missing, chunk string) {
		h := map[string][]string{
			wire.HeaderVersion: {version}, wire.HeaderWriter: {writer}, wire.HeaderBatch: {number}, wire.HeaderSum: {sum},
			wire.HeaderEncoding: {encoding}, wire.HeaderForget: {forget}, wire.HeaderOpen: {open}, wire.HeaderMissing: {missing}, wire.HeaderChunk: {chunk},
		}
		b, err := wire.ParseBatch(h)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		again := map[string][]string{}
		b.Put(again)
		second, err := wire.ParseBatch(again)
		if err != nil || !reflect.DeepEqual(b, second) {
			t.Fatalf("parsed %+v, written and parsed again %+v, %v", b, second, err)
		}
		for _, c := range b.Chunks {
			if c.Offset < 0 || c.Length < 1 || c.Offset+c.Length < 0 || c.Check.Len < 0 || c.Source == "" {
				t.Fatalf("accepted chunk %+v", c)
			}
		}
	})
}
