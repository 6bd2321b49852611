// Package wire is what both ends of logdrive agree on: host names and subjects, the headers and payload of a batch,
// the table of a host, the hello exchange, and the names of streams, buckets and keys.
//
// The walk of a batch: an agent names its host (host.go), describes the bytes of one message as a Batch (batch.go),
// compresses them (codec.go) and publishes to LogSubject (subject.go). The hub maps that onto a partition's subject and stores it.
// A receiver parses the headers, checks Sum against the decoded payload and appends. Whoever needs to know what the chain of a
// host holds folds its batches, in order, into a Table (table.go, extent.go): a Table is a pure function of the chain, so it does not matter who made it. It
// forgets finished sources, and never outgrows a message (forget.go).
//
// Guarantees: encoding and parsing are exact inverses for every valid value; parsing never panics and never allocates more
// than the message justifies, whatever an agent sends. Not guaranteed: that a batch tells the truth. What a receiver does about one
// that does not (gaps, other identities, wrong sums) is decided in receiver/archive.
//
// Nothing here holds state or starts a goroutine, apart from Codec, which one goroutine uses at a time.
//
//	b := wire.Batch{Writer: id, Number: 1, Chunks: []wire.Chunk{{Source: "/var/log/syslog", Generation: 1, Length: 6, Lines: 1}}}
//	msg := nats.NewMsg(wire.LogSubject("web1"))
//	payload, encoding := codec.Encode(nil, []byte("hello\n"))
//	b.Encoding, b.Sum = encoding, wire.Sum([]byte("hello\n"))
//	b.Put(msg.Header)
package wire
