package shipper

import (
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/tail"
)

// batch is one message on its way: filled from the tailer, encoded, published, acknowledged. It is used again afterwards, with its buffers.
type batch struct {
	tail    tail.Batch
	header  wire.Batch
	packed  []byte        // buffer of the encoder
	payload []byte        // what is published; aliases packed or the tailer's data
	encoded chan struct{} // takes one value when payload is ready
}

func newBatch() *batch { return &batch{encoded: make(chan struct{}, 1)} }

// describe makes the headers of what the tailer filled in.
func (b *batch) describe(writer string, number uint64) {
	b.header = wire.Batch{
		Writer: writer, Number: number,
		Forgets: b.header.Forgets[:0], Opens: b.header.Opens[:0], Missing: b.header.Missing[:0], Chunks: b.header.Chunks[:0],
	}
	for _, f := range b.tail.Forgets {
		b.header.Forgets = append(b.header.Forgets, f.Source)
	}
	for _, o := range b.tail.Opens {
		b.header.Opens = append(b.header.Opens, wire.Open{Source: o.Source, Generation: o.Generation, Identity: o.Identity.String(), Previous: o.Previous})
	}
	for _, m := range b.tail.Missing {
		b.header.Missing = append(b.header.Missing, wire.Missing{Source: m.Source, Generation: m.Generation, From: m.From, To: m.To, Reason: m.Reason})
	}
	for _, c := range b.tail.Chunks {
		b.header.Chunks = append(b.header.Chunks, wire.Chunk{
			Source: c.Source, Generation: c.Generation, Offset: c.Offset, Length: c.Length, Lines: c.Lines, Check: wire.Check(c.Check),
		})
	}
}

// encode compresses the data and sums it. It is called by one encoder goroutine.
func (b *batch) encode(enc *wire.Encoder) {
	b.header.Sum = wire.Sum(b.tail.Data)
	var encoding string
	b.payload, encoding = enc.Encode(b.packed, b.tail.Data)
	if encoding != wire.CodecNone {
		b.packed = b.payload
	}
	b.header.Encoding = encoding
}
