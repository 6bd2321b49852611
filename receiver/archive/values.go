package archive

import (
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

// streamValue is what the archive has committed of one stream.
type streamValue struct {
	id        uint64
	created   time.Time
	confirmed uint64        // the record's floor was known to be at least this
	clock     time.Duration // age of the archive at the last commit
	held      []handover.Held
}

func (v *streamValue) encode() []byte {
	e := encoder{}
	e.uint(v.id)
	e.int(v.created.UnixNano())
	e.uint(v.confirmed)
	e.int(int64(v.clock))
	e.uint(uint64(len(v.held)))
	for _, h := range v.held {
		e.uint(h.Epoch)
		e.uint(h.After)
		e.uint(h.To)
	}
	return e.b
}

func decodeStream(b []byte) (streamValue, error) {
	d := decoder{b: b}
	v := streamValue{id: d.uint(), created: time.Unix(0, d.int()), confirmed: d.uint(), clock: time.Duration(d.int())}
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		v.held = append(v.held, handover.Held{Epoch: d.uint(), After: d.uint(), To: d.uint()})
	}
	return v, d.end()
}

// hostValue is the end of a host's chain as committed.
type hostValue struct {
	stream   uint64 // id of the stream
	epoch    uint64 // its positions are known since this epoch
	sequence uint64
	writer   string
	number   uint64
	used     uint64   // highest generation of the sources that its table has forgotten
	floating bool     // positions of generations that nothing came of yet are unknown
	unread   []uint64 // sequences of quarantined messages whose headers said nothing: a gap after one of them is its doing
}

func (v *hostValue) encode() []byte {
	e := encoder{}
	e.uint(v.stream)
	e.uint(v.epoch)
	e.uint(v.sequence)
	e.string(v.writer)
	e.uint(v.number)
	e.uint(v.used)
	e.uint(uint64(len(v.unread)))
	for _, s := range v.unread {
		e.uint(s)
	}
	e.bool(v.floating)
	return e.b
}

func decodeHost(b []byte) (hostValue, error) {
	d := decoder{b: b}
	v := hostValue{stream: d.uint(), epoch: d.uint(), sequence: d.uint(), writer: d.string(), number: d.uint(), used: d.uint()}
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		v.unread = append(v.unread, d.uint())
	}
	v.floating = d.bool()
	return v, d.end()
}

// sourceValue names a source and the file that stands for it.
type sourceValue struct {
	host, source string
	path         string // below the host's directory
}

func (v *sourceValue) encode() []byte {
	e := encoder{}
	e.string(v.host)
	e.string(v.source)
	e.string(v.path)
	return e.b
}

func decodeSourceValue(b []byte) (sourceValue, error) {
	d := decoder{b: b}
	v := sourceValue{host: d.string(), source: d.string(), path: d.string()}
	return v, d.end()
}

// generationValue is the position in one generation, and what the host's table says about it.
type generationValue struct {
	listed   bool // it is in the host's table; extent is meaningful only then
	extent   wire.Extent
	identity string // whose bytes are archived; differs from the extent's when another file claimed the generation
	offset   int64  // everything below is archived or in the ledger
	sequence uint64 // of the last message that spoke of it
	open     bool   // its last segment may be appended to
	tail     int64  // where that segment begins
}

func (v *generationValue) encode() []byte {
	e := encoder{}
	e.bool(v.listed)
	e.string(v.identity)
	e.int(v.offset)
	e.uint(v.sequence)
	e.bool(v.open)
	e.int(v.tail)
	if v.listed {
		e.string(v.extent.Identity)
		e.int(v.extent.Offset)
		e.int(v.extent.Length)
		e.int(int64(v.extent.Check.Len))
		e.uint(v.extent.Check.Sum)
	}
	return e.b
}

func decodeGeneration(generation uint64, b []byte) (generationValue, error) {
	d := decoder{b: b}
	v := generationValue{listed: d.bool(), identity: d.string(), offset: d.int(), sequence: d.uint(), open: d.bool(), tail: d.int()}
	if v.listed {
		v.extent = wire.Extent{
			Generation: generation, Identity: d.string(), Offset: d.int(), Length: d.int(),
			Check: wire.Check{Len: int(d.int()), Sum: d.uint()},
		}
	}
	return v, d.end()
}

// state is what has become of a segment. Its file's name follows from it.
type state uint64

const (
	active  state = iota // the newest, at the source's own name; may grow
	late                 // of an older generation, at its rotated name; may grow
	sealed               // at its rotated name; never written again
	gzipped              // the same, compressed
	zstded
	expired // deleted by the janitor because it was old enough
)

func (s state) String() string {
	return [...]string{"active", "late", "sealed", "gzip", "zstd", "expired"}[s]
}

func (s state) grows() bool { return s == active || s == late }

// segmentValue is one contiguous run of bytes of one generation, in one file.
type segmentValue struct {
	state    state
	length   int64
	stream   uint64        // id of the stream and
	sequence uint64        // sequence of the last message that wrote to it
	born     time.Duration // age of the archive at the first byte
	touched  time.Duration // and at the last
	first    int64         // the same in wall-clock milliseconds since 1970, for people
	last     int64
}

func (v *segmentValue) encode() []byte {
	e := encoder{}
	e.uint(uint64(v.state))
	e.int(v.length)
	e.uint(v.stream)
	e.uint(v.sequence)
	e.int(int64(v.born))
	e.int(int64(v.touched))
	e.int(v.first)
	e.int(v.last)
	return e.b
}

func decodeSegment(b []byte) (segmentValue, error) {
	d := decoder{b: b}
	v := segmentValue{
		state: state(d.uint()), length: d.int(), stream: d.uint(), sequence: d.uint(),
		born: time.Duration(d.int()), touched: time.Duration(d.int()), first: d.int(), last: d.int(),
	}
	if v.state > expired {
		return v, errCorrupt
	}
	return v, d.end()
}
