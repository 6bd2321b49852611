package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/logdrive/logdrive/cluster/wire"
)

func lines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%06d GET /index.html 200\r\n", i)
	}
	return b.Bytes()
}

func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{7})
	p := make([]byte, n)
	r.Read(p)
	return p
}

func describe(raw []byte, encoding string) *wire.Batch {
	b := &wire.Batch{Writer: "w", Sum: wire.Sum(raw), Encoding: encoding}
	if len(raw) > 0 {
		b.Chunks = []wire.Chunk{{Source: "/a", Generation: 1, Length: int64(len(raw))}}
	}
	return b
}

func newDecoder(t testing.TB) *wire.Decoder {
	d, err := wire.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDecodeRestoresWhatEncodeMade(t *testing.T) {
	payloads := map[string][]byte{"empty": nil, "one line": []byte("a\n"), "many lines": lines(40000), "noise": noise(100_000)}
	for _, codec := range []string{wire.CodecZstd, wire.CodecS2, wire.CodecNone} {
		for name, raw := range payloads {
			t.Run(codec+"/"+name, func(t *testing.T) {
				enc, err := wire.NewEncoder(codec)
				if err != nil {
					t.Fatal(err)
				}
				payload, encoding := enc.Encode(nil, raw)
				got, err := newDecoder(t).Decode(nil, payload, describe(raw, encoding))
				if err != nil || !bytes.Equal(got, raw) {
					t.Errorf("restored %d of %d bytes: %v", len(got), len(raw), err)
				}
			})
		}
	}
}

// TestBuffersAreUsedAgain: the second batch of an encoder and a decoder goes through the buffers of the first, and must not see its bytes.
func TestBuffersAreUsedAgain(t *testing.T) {
	for _, codec := range []string{wire.CodecZstd, wire.CodecS2} {
		enc, err := wire.NewEncoder(codec)
		if err != nil {
			t.Fatal(err)
		}
		dec := newDecoder(t)
		var packed, plain []byte
		for _, n := range []int{5000, 10, 4000, 0, 9000, 30} {
			raw := lines(n)
			payload, encoding := enc.Encode(packed, raw)
			got, err := dec.Decode(plain, payload, describe(raw, encoding))
			if err != nil || !bytes.Equal(got, raw) {
				t.Fatalf("%s, %d lines: %v", codec, n, err)
			}
			if encoding != wire.CodecNone {
				packed, plain = payload, got
			}
		}
	}
}

func TestWhatDoesNotShrinkIsSentAsItIs(t *testing.T) {
	enc, err := wire.NewEncoder(wire.CodecZstd)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{[]byte("short\n"), noise(10_000)} {
		if payload, encoding := enc.Encode(nil, raw); encoding != wire.CodecNone || !bytes.Equal(payload, raw) {
			t.Errorf("%d bytes were encoded as %q in %d", len(raw), encoding, len(payload))
		}
	}
}

func TestUnknownCodec(t *testing.T) {
	if _, err := wire.NewEncoder("lz4"); err == nil || !strings.Contains(err.Error(), "use zstd, s2 or none") {
		t.Errorf("error is %v", err)
	}
}

func TestDamagedPayloadsAreRefused(t *testing.T) {
	raw := lines(1000)
	packed := zstdOf(t, raw)
	flipped := bytes.Clone(packed)
	flipped[len(flipped)/2] ^= 1
	short := describe(raw, wire.CodecZstd)
	short.Chunks[0].Length--
	long := describe(raw, wire.CodecNone)
	long.Chunks[0].Length++
	otherSum := describe(raw, wire.CodecNone)
	otherSum.Sum++
	tests := []struct {
		name    string
		payload []byte
		batch   *wire.Batch
		says    string
	}{
		{"flipped bit", flipped, describe(raw, wire.CodecZstd), "malformed"},
		{"cut", packed[:len(packed)-3], describe(raw, wire.CodecZstd), "decode zstd"},
		{"no zstd", raw, describe(raw, wire.CodecZstd), "decode zstd"},
		{"no s2", raw, describe(raw, wire.CodecS2), "decode s2"},
		{"more than claimed", packed, short, "chunks claim"},
		{"less than claimed", raw, long, "chunks claim"},
		{"other sum", raw, otherSum, "its header says"},
		{"unknown encoding", raw, describe(raw, "br"), `unknown encoding "br"`},
		{"s2 bomb", s2.Encode(nil, make([]byte, 32<<20)), describe([]byte("x"), wire.CodecS2), "the chunks claim 1"},
		{"zstd bomb", zstdOf(t, make([]byte, 32<<20)), describe([]byte("x"), wire.CodecZstd), "the chunks claim 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newDecoder(t).Decode(nil, tt.payload, tt.batch)
			if !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want ErrMalformed that says %q", err, tt.says)
			}
		})
	}
}

func zstdOf(t testing.TB, raw []byte) []byte {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(raw, nil)
}

// FuzzDecode: no payload panics, and what is accepted is what the headers say.
func FuzzDecode(f *testing.F) {
	raw := lines(100)
	f.Add(raw, "", len(raw), false)
	f.Add(zstdOf(f, raw), wire.CodecZstd, len(raw), true)
	f.Add(s2.Encode(nil, raw), wire.CodecS2, len(raw), true)
	f.Add(zstdOf(f, nil), wire.CodecZstd, 0, false)
	dec := newDecoder(f)
	f.Fuzz(func(t *testing.T, payload []byte, encoding string, length int, honest bool) {
		b := &wire.Batch{Encoding: encoding, Sum: wire.Sum(payload)}
		if honest {
			b.Sum = wire.Sum(raw)
		}
		if length > 0 {
			b.Chunks = []wire.Chunk{{Length: int64(length % (1 << 20))}}
		}
		got, err := dec.Decode(nil, payload, b)
		switch {
		case err != nil && !errors.Is(err, wire.ErrMalformed):
			t.Fatalf("error %v does not wrap ErrMalformed", err)
		case err == nil && (int64(len(got)) != b.Raw() || wire.Sum(got) != b.Sum):
			t.Fatalf("accepted %d bytes for %d", len(got), b.Raw())
		}
	})
}
