package tail

// Generation is what is known about one incarnation of a source: what the
// chain at the hub holds, joined with what the local checkpoint remembers.
type Generation struct {
	Source    string // absolute path on the host as the user knows it; any bytes but NUL
	Number    uint64 // 1, 2, 3 ...
	Identity  Identity
	Offset    int64  // end of what the chain holds, missing ranges included
	Length    int64  // final length if it has ended, else -1
	Check     Check  // of the bytes before Offset; Len 0: unknown
	Seen      int64  // biggest size ever seen of it; 0: unknown; only the checkpoint knows
	Path      string // where the file stood when last seen; only the checkpoint knows
	Unopened  bool   // only the checkpoint knows of it: its Open is said again
	Forgotten bool   // only the checkpoint knows of it: the chain had all of it, and remembers later ones only
}

// Chunk is a contiguous run of whole lines of one generation. Only a line
// longer than the batch limit and the end of a generation give a chunk that
// does not end at a newline.
type Chunk struct {
	Source     string
	Generation uint64
	Offset     int64
	Length     int64
	Lines      int64 // newlines in it
	Check      Check // at its end
}

// Open is the first that is said of a generation. Previous is the length of the
// generation before it as it is known now, -1 if there is none or it is
// not known. A late writer may still add to that generation: its bytes follow
// as further chunks of it.
type Open struct {
	Source     string
	Generation uint64
	Identity   Identity
	Previous   int64
}

// Missing declares bytes that cannot be delivered. To is -1 where the end is
// not known; the generation has ended then. Reason is one word.
type Missing struct {
	Source     string
	Generation uint64
	From, To   int64
	Reason     string
}

// Finished says of a source that its file is gone and all of it was shipped, up to and with its last generation.
type Finished struct {
	Source     string
	Generation uint64
}

// Why bytes are missing.
const (
	ReasonDeleted    = "deleted"    // the file was removed before it was read
	ReasonTruncated  = "truncated"  // it was cut or overwritten in place before it was read
	ReasonUnreadable = "unreadable" // it could not be read while it was there
	ReasonVanished   = "vanished"   // it was not found again after a restart
)

// Batch is what one message carries. Its meaning in order: all Forgets, all Opens, then
// all Missing, then the Chunks. Data is the chunks' bytes joined.
type Batch struct {
	Forgets []Finished
	Opens   []Open
	Missing []Missing
	Chunks  []Chunk
	Data    []byte

	headers int
}

// Empty reports whether the batch says nothing at all.
func (b *Batch) Empty() bool {
	return len(b.Forgets) == 0 && len(b.Opens) == 0 && len(b.Missing) == 0 && len(b.Chunks) == 0
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	*b = Batch{Forgets: b.Forgets[:0], Opens: b.Opens[:0], Missing: b.Missing[:0], Chunks: b.Chunks[:0], Data: b.Data[:0]}
}

// HeaderBytes estimates from above what the declarations and chunks take in
// message headers, each source escaped to three times its length.
func (b *Batch) HeaderBytes() int { return b.headers }

func chunkHeader(source string) int   { return 112 + 3*len(source) }
func openHeader(source string) int    { return 176 + 3*len(source) }
func missingHeader(source string) int { return 112 + 3*len(source) }
func forgetHeader(source string) int  { return 32 + 3*len(source) }

func (b *Batch) forget(f Finished) {
	b.Forgets = append(b.Forgets, f)
	b.headers += forgetHeader(f.Source)
}

func (b *Batch) open(o Open) {
	b.Opens = append(b.Opens, o)
	b.headers += openHeader(o.Source)
}

func (b *Batch) missing(m Missing) {
	b.Missing = append(b.Missing, m)
	b.headers += missingHeader(m.Source)
}

// chunk adds the bytes at the end of Data, joined to the last chunk where
// they continue it.
func (b *Batch) chunk(c Chunk) {
	if n := len(b.Chunks); n > 0 {
		last := &b.Chunks[n-1]
		if last.Source == c.Source && last.Generation == c.Generation && last.Offset+last.Length == c.Offset {
			last.Length += c.Length
			last.Lines += c.Lines
			last.Check = checkOf(b.Data[len(b.Data)-int(last.Length):])
			return
		}
	}
	c.Check = checkOf(b.Data[len(b.Data)-int(c.Length):])
	b.Chunks = append(b.Chunks, c)
	b.headers += chunkHeader(c.Source)
}

// mentions reports whether the batch says anything of the source.
func (b *Batch) mentions(source string) bool {
	for i := range b.Chunks {
		if b.Chunks[i].Source == source {
			return true
		}
	}
	for i := range b.Missing {
		if b.Missing[i].Source == source {
			return true
		}
	}
	for i := range b.Opens {
		if b.Opens[i].Source == source {
			return true
		}
	}
	return false
}

// Limits bounds a batch: Fill stops at Bytes of Data, or before the estimate
// of [Batch.HeaderBytes] would pass HeaderBytes.
type Limits struct {
	Bytes       int
	HeaderBytes int
	NoNew       bool // no source may be begun of which the hub knows nothing
}
