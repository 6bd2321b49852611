package wire

import (
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"
)

// Codecs, as they stand in Content-Encoding.
const (
	CodecZstd = "zstd"
	CodecS2   = "s2"
	CodecNone = ""
)

// worthCompressing is the size in bytes below which compression saves nothing.
const worthCompressing = 256

// Sum is the checksum of an uncompressed payload.
func Sum(raw []byte) uint64 { return xxh3.Hash(raw) }

// Encoder compresses payloads. One goroutine uses it at a time.
type Encoder struct {
	codec string
	zstd  *zstd.Encoder
}

// NewEncoder makes an encoder for one of the codecs.
func NewEncoder(codec string) (*Encoder, error) {
	switch codec {
	case CodecNone, CodecS2:
		return &Encoder{codec: codec}, nil
	case CodecZstd:
		// Half a MiB sees all that repeats in logs. With low memory the encoder would move its window for every block of a larger batch: measured, a third of its speed.
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(512<<10), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, fmt.Errorf("make zstd encoder: %w", err)
		}
		return &Encoder{codec: codec, zstd: enc}, nil
	}
	return nil, fmt.Errorf("unknown codec %q: use zstd, s2 or none", codec)
}

// Encode compresses raw into dst[:0], growing it when it must, and names the encoding it used: none when that is smaller.
func (e *Encoder) Encode(dst, raw []byte) (payload []byte, encoding string) {
	if len(raw) < worthCompressing {
		return raw, CodecNone
	}
	switch e.codec {
	case CodecZstd:
		payload = e.zstd.EncodeAll(raw, dst[:0])
	case CodecS2:
		payload = s2.Encode(dst[:cap(dst)], raw)
	}
	if payload == nil || len(payload) >= len(raw) {
		return raw, CodecNone
	}
	return payload, e.codec
}

// Decoder restores payloads. One goroutine uses it at a time.
type Decoder struct{ zstd *zstd.Decoder }

// NewDecoder makes a decoder for all codecs.
func NewDecoder() (*Decoder, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(MaxRaw))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &Decoder{zstd: dec}, nil
}

// Decode restores the payload of b into dst[:0], growing it when it must, and checks its length and sum against the headers.
// The result may alias payload. Its error wraps ErrMalformed.
func (d *Decoder) Decode(dst, payload []byte, b *Batch) ([]byte, error) {
	want := int(b.Raw())
	raw, err := d.restore(dst, payload, b.Encoding, want)
	if err != nil {
		return nil, fmt.Errorf("%w: decode %s payload: %w", ErrMalformed, b.Encoding, err)
	}
	if len(raw) != want {
		return nil, fmt.Errorf("%w: payload holds %d bytes, its chunks claim %d", ErrMalformed, len(raw), want)
	}
	if sum := Sum(raw); sum != b.Sum {
		return nil, fmt.Errorf("%w: payload has sum %016x, its header says %016x", ErrMalformed, sum, b.Sum)
	}
	return raw, nil
}

// restore never allocates more than the headers claim: a small payload may pretend to be a huge one.
func (d *Decoder) restore(dst, payload []byte, encoding string, want int) ([]byte, error) {
	switch encoding {
	case CodecNone:
		return payload, nil
	case CodecZstd:
		if cap(dst) < want {
			dst = make([]byte, 0, want)
		}
		var h zstd.Header
		if err := h.Decode(payload); err != nil {
			return nil, err
		}
		if h.HasFCS && h.FrameContentSize > uint64(want) {
			return nil, fmt.Errorf("it says %d bytes, the chunks claim %d", h.FrameContentSize, want)
		}
		return d.zstd.DecodeAll(payload, dst[:0])
	case CodecS2:
		n, err := s2.DecodedLen(payload)
		if err != nil {
			return nil, err
		}
		if n != want {
			return nil, fmt.Errorf("it says %d bytes, the chunks claim %d", n, want)
		}
		return s2.Decode(dst[:cap(dst)], payload)
	}
	return nil, fmt.Errorf("unknown encoding %q", encoding)
}

// packJSON is how structured values stand on the wire and in the bucket: JSON, compressed, since tables of many files repeat their paths.
func packJSON(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return s2.Encode(nil, data), nil
}

func unpackJSON(data []byte, v any) error {
	if n, err := s2.DecodedLen(data); err != nil || n > MaxRaw {
		return fmt.Errorf("%w: %d compressed bytes say %d (%v)", ErrMalformed, len(data), n, err)
	}
	plain, err := s2.Decode(nil, data)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}
