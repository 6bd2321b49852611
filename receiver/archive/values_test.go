package archive

import (
	"reflect"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

// FuzzIndexValues reads rubbish as every kind of value: an index may be damaged, the archive must then say so and not panic.
func FuzzIndexValues(f *testing.F) {
	stream := streamValue{id: 1, created: time.Unix(0, 2), confirmed: 3, clock: 4, held: []handover.Held{{Epoch: 5, After: 6, To: 7}}}
	host := hostValue{stream: 1, epoch: 2, sequence: 3, writer: "w", number: 4, unread: []uint64{5}}
	source := sourceValue{host: "h", source: "/s", path: "s"}
	generation := generationValue{listed: true, extent: wire.Extent{Generation: 1, Identity: "i", Length: -1}, identity: "i", offset: 2, sequence: 3, open: true, tail: 4}
	segment := segmentValue{state: sealed, length: 1, stream: 2, sequence: 3, born: 4, touched: 5, first: 6, last: 7}
	entry := Entry{Host: "h", Source: "/s", Generation: 1, From: 2, To: -1, Reason: "r", Stream: "s", Epoch: 3, Sequence: 4}
	back := undo{before: 1, old: []pair{{[]byte("k"), []byte("v")}, {[]byte("l"), nil}}}
	check := func(got any, err error, want any) {
		if err != nil || !reflect.DeepEqual(got, want) {
			f.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	v1, err := decodeStream(stream.encode())
	check(v1, err, stream)
	v2, err := decodeHost(host.encode())
	check(v2, err, host)
	v3, err := decodeSourceValue(source.encode())
	check(v3, err, source)
	v4, err := decodeGeneration(1, generation.encode())
	check(v4, err, generation)
	v5, err := decodeSegment(segment.encode())
	check(v5, err, segment)
	v6, err := decodeEntry(entry.value())
	check(v6, err, entry)
	v7, err := decodeUndo(back.encode())
	check(v7, err, back)
	for _, b := range [][]byte{stream.encode(), host.encode(), source.encode(), generation.encode(), segment.encode(), entry.value(), back.encode()} {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeStream(b)
		decodeHost(b)
		decodeSourceValue(b)
		decodeGeneration(1, b)
		decodeSegment(b)
		decodeEntry(b)
		decodeUndo(b)
		splitKey(b)
	})
}
