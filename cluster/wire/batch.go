package wire

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// Version is the protocol version this code speaks. A hub and an agent with different ones refuse each other.
const Version = 1

// Headers of a batch.
const (
	headerPrefix   = "Logdrive-"
	HeaderVersion  = headerPrefix + "Version"
	HeaderWriter   = headerPrefix + "Writer"
	HeaderBatch    = headerPrefix + "Batch"
	HeaderChunk    = headerPrefix + "Chunk"
	HeaderOpen     = headerPrefix + "Open"
	HeaderMissing  = headerPrefix + "Missing"
	HeaderForget   = headerPrefix + "Forget"
	HeaderSum      = headerPrefix + "Sum"
	HeaderEncoding = "Content-Encoding"
	// HeaderExpected is the server's own: the sequence of the host's previous batch. The server stores it with the message, so each names its predecessor.
	HeaderExpected = "Nats-Expected-Last-Subject-Sequence"
)

// Sizes of a batch, in bytes.
const (
	MaxPayload  = 8 << 20  // largest message of hub and leaf
	MaxHeaders  = 48 << 10 // an agent closes a batch before its headers exceed this; the server's limit is 64 KiB
	MaxRaw      = 64 << 20 // a receiver refuses a batch that claims more raw bytes than this
	maxIdentity = 256      // tables hold identities, so what a host sends must not make one large
)

// ErrMalformed is wrapped by every complaint about the headers or payload of a batch.
var ErrMalformed = errors.New("malformed batch")

// Check proves which bytes stand before an offset: the xxh3-64 of the last Len of them. Len 0 proves nothing.
type Check struct {
	Len int    `json:"len"`
	Sum uint64 `json:"sum"`
}

// Chunk is a contiguous run of bytes of one generation. Its bytes are in the batch's payload, after those of the chunks before it.
type Chunk struct {
	Source     string
	Generation uint64
	Offset     int64 // of its first byte in the generation
	Length     int64 // bytes
	Lines      int64 // newlines in it
	Check      Check // of the bytes before Offset+Length
}

// Open declares a generation: which file it is, and how long the one before it had become.
type Open struct {
	Source     string
	Generation uint64
	Identity   string // letters, digits, '-', '.', '_' and ':', at most 256; receivers compare, never interpret
	Previous   int64  // final length of the generation before; -1: none or unknown
}

// Missing declares bytes that the agent cannot deliver.
type Missing struct {
	Source     string
	Generation uint64
	From, To   int64  // [From, To); To -1: nobody can know where they would have ended, and the generation has ended
	Reason     string // one token
}

// Batch is the description of one message. Its declarations come before its chunks: first all Forgets, then all Opens, then all Missing,
// then the chunks in order. A declaration that must follow a chunk of its generation goes into a later batch. One without any of them is a
// marker: a link of the chain that holds nothing, and a small head where a large one was in the way.
type Batch struct {
	Writer   string   // random id of the state directory that made it
	Number   uint64   // counts the batches of a host; for people, never compared
	Forgets  []string // sources that are finished: their files are gone and all of them was shipped
	Opens    []Open
	Missing  []Missing
	Chunks   []Chunk
	Sum      uint64 // of the uncompressed payload
	Encoding string // of the payload: one of the codecs, or "" for none
}

// Raw is how many uncompressed bytes the chunks claim.
func (b *Batch) Raw() int64 {
	var n int64
	for _, c := range b.Chunks {
		n += c.Length
	}
	return n
}

// Put writes the batch into the headers of its message.
func (b *Batch) Put(h map[string][]string) {
	h[HeaderVersion] = []string{strconv.Itoa(Version)}
	h[HeaderWriter] = []string{b.Writer}
	h[HeaderBatch] = []string{strconv.FormatUint(b.Number, 10)}
	h[HeaderSum] = []string{fmt.Sprintf("%016x", b.Sum)}
	if b.Encoding != "" {
		h[HeaderEncoding] = []string{b.Encoding}
	}
	for _, source := range b.Forgets {
		h[HeaderForget] = append(h[HeaderForget], escape(source))
	}
	for _, o := range b.Opens {
		h[HeaderOpen] = append(h[HeaderOpen], fmt.Sprintf("%d %s %d %s", o.Generation, o.Identity, o.Previous, escape(o.Source)))
	}
	for _, m := range b.Missing {
		h[HeaderMissing] = append(h[HeaderMissing], fmt.Sprintf("%d %d %d %s %s", m.Generation, m.From, m.To, m.Reason, escape(m.Source)))
	}
	for _, c := range b.Chunks {
		h[HeaderChunk] = append(h[HeaderChunk], fmt.Sprintf("%d %d %d %d %d:%016x %s",
			c.Generation, c.Offset, c.Length, c.Lines, c.Check.Len, c.Check.Sum, escape(c.Source)))
	}
}

// Fingerprint tells batches apart by all that their agents say in the headers, the sum of the bytes included: xxh3-64, in hexadecimal. What the server adds is left out.
func Fingerprint(h map[string][]string) string {
	hash := xxh3.New()
	for _, key := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(key, headerPrefix) || key == HeaderEncoding {
			fmt.Fprintf(hash, "%s %q\n", key, h[key])
		}
	}
	return fmt.Sprintf("%016x", hash.Sum64())
}

// ParseBatch reads the headers of a message. Its error wraps ErrMalformed.
func ParseBatch(h map[string][]string) (Batch, error) {
	p := parser{}
	b := Batch{Writer: p.one(h, HeaderWriter), Encoding: p.optional(h, HeaderEncoding)}
	if v := p.one(h, HeaderVersion); p.err == nil && v != strconv.Itoa(Version) {
		p.fail("%s is %q, this program speaks %d", HeaderVersion, v, Version)
	}
	b.Number = p.uint(p.one(h, HeaderBatch), 10)
	b.Sum = p.uint(p.one(h, HeaderSum), 16)
	for _, v := range h[HeaderForget] {
		b.Forgets = append(b.Forgets, p.source(v))
	}
	for _, v := range h[HeaderOpen] {
		f := p.fields(HeaderOpen, v, 4)
		b.Opens = append(b.Opens, Open{Generation: p.generation(f[0]), Identity: p.identity(f[1]), Previous: p.int(f[2], -1), Source: p.source(f[3])})
	}
	for _, v := range h[HeaderMissing] {
		f := p.fields(HeaderMissing, v, 5)
		m := Missing{Generation: p.generation(f[0]), From: p.int(f[1], 0), To: p.int(f[2], -1), Reason: p.token(f[3]), Source: p.source(f[4])}
		if m.To >= 0 && m.To <= m.From {
			p.fail("%s %q: empty range", HeaderMissing, v)
		}
		b.Missing = append(b.Missing, m)
	}
	for _, v := range h[HeaderChunk] {
		f := p.fields(HeaderChunk, v, 6)
		b.Chunks = append(b.Chunks, Chunk{Generation: p.generation(f[0]), Offset: p.int(f[1], 0), Length: p.int(f[2], 1), Lines: p.int(f[3], 0), Check: p.check(f[4]), Source: p.source(f[5])})
	}
	p.sane(&b)
	return b, p.err
}

// sane refuses sizes that no agent sends: sums must not overflow, and memory is allocated by them.
func (p *parser) sane(b *Batch) {
	for _, c := range b.Chunks {
		if c.Length > MaxRaw || c.Offset > 1<<62 {
			p.fail("chunk of %d bytes at %d", c.Length, c.Offset)
			return
		}
	}
	if raw := b.Raw(); raw > MaxRaw {
		p.fail("%d raw bytes, at most %d are accepted", raw, MaxRaw)
	}
}

// parser keeps the first complaint, so that the parsing above reads straight.
type parser struct{ err error }

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

func (p *parser) optional(h map[string][]string, name string) string {
	v := h[name]
	if len(v) > 1 {
		p.fail("%s stands %d times", name, len(v))
	}
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

func (p *parser) one(h map[string][]string, name string) string {
	v := p.optional(h, name)
	if v == "" {
		p.fail("%s is absent", name)
	}
	return v
}

func (p *parser) fields(name, v string, n int) []string {
	f := strings.SplitN(v, " ", n)
	if len(f) != n {
		p.fail("%s %q has %d fields, not %d", name, v, len(f), n)
		return make([]string, n)
	}
	return f
}

func (p *parser) uint(s string, base int) uint64 {
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		p.fail("%q is no number", s)
	}
	return n
}

func (p *parser) int(s string, least int64) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least {
		p.fail("%q is no number of %d or more", s, least)
	}
	return n
}

func (p *parser) generation(s string) uint64 {
	n := p.uint(s, 10)
	if n == 0 || n > 1<<62 { // the next one is counted from it
		p.fail("generation %d", n)
	}
	return n
}

func (p *parser) token(s string) string {
	if s == "" {
		p.fail("empty word")
	}
	return s
}

func (p *parser) identity(s string) string {
	if len(s) > maxIdentity {
		p.fail("identity of %d bytes, at most %d are allowed", len(s), maxIdentity)
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && !strings.ContainsRune("-._:", rune(c)) {
			p.fail("identity %q: byte %d is %q", s, i, c)
		}
	}
	return p.token(s)
}

func (p *parser) check(s string) Check {
	length, sum, ok := strings.Cut(s, ":")
	if !ok {
		p.fail("check %q is not length:sum", s)
		return Check{}
	}
	return Check{Len: int(p.int(length, 0)), Sum: p.uint(sum, 16)}
}

func (p *parser) source(s string) string {
	source, err := unescape(s)
	if err != nil || source == "" {
		p.fail("source %q", s)
	}
	return source
}
