package tail

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

const (
	// headBytes is how much of a file's beginning its identity covers.
	headBytes = 256
	// checkBytes is how much is compared before an offset. 64 were not enough:
	// log lines that end in equal padding collided.
	checkBytes = 1024
	// tellingHead is the shortest head that may stand for a file by itself,
	// without device and inode.
	tellingHead = 64
)

// Identity says which file a generation is, whatever its name: device, inode,
// birth time in nanoseconds (0 where unknown) and the xxh3-64 of its first
// HeadLen bytes. HeadLen is what was there when the generation was opened, at
// most 256; 0 says that nothing of it was ever read.
type Identity struct {
	Device, Inode uint64
	Birth         int64
	HeadLen       int
	Head          uint64
}

// String returns the identity as one token without spaces that
// [ParseIdentity] reads back.
func (i Identity) String() string {
	return fmt.Sprintf("%x-%x-%x-%d-%x", i.Device, i.Inode, uint64(i.Birth), i.HeadLen, i.Head)
}

// ParseIdentity reads what [Identity.String] wrote and nothing else.
func ParseIdentity(s string) (Identity, error) {
	parts := strings.Split(s, "-")
	if len(parts) != 5 {
		return Identity{}, fmt.Errorf("parse identity %q: %d parts, want 5", s, len(parts))
	}
	var n [5]uint64
	for i, base := range [5]int{16, 16, 16, 10, 16} {
		v, err := strconv.ParseUint(parts[i], base, 64)
		if err != nil {
			return Identity{}, fmt.Errorf("parse identity %q: %w", s, err)
		}
		n[i] = v
	}
	if n[3] > headBytes {
		return Identity{}, fmt.Errorf("parse identity %q: head of %d bytes, at most %d", s, n[3], headBytes)
	}
	id := Identity{Device: n[0], Inode: n[1], Birth: int64(n[2]), HeadLen: int(n[3]), Head: n[4]}
	if id.String() != s {
		return Identity{}, fmt.Errorf("parse identity %q: not in canonical form", s)
	}
	return id, nil
}

// sameInode reports whether st can be the file of this identity by device,
// inode and birth. Inode numbers are reused at once; where no birth time is
// known only the content can tell.
func (i Identity) sameInode(st stat) bool {
	return i.Device == st.dev && i.Inode == st.ino &&
		(i.Birth == st.birth || i.Birth == 0 || st.birth == 0)
}

// Stands reports whether the file at path is the one of this identity.
func (i Identity) Stands(path string) bool {
	f, st, err := openFile(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return i.sameInode(st) && i.sameHead(f)
}

// sameHead reports whether r begins with the bytes the identity covers.
func (i Identity) sameHead(r io.ReaderAt) bool {
	return Check{Len: i.HeadLen, Sum: i.Head}.holds(r, int64(i.HeadLen))
}

// Check is the xxh3-64 of the last Len bytes before an offset: it proves that
// the bytes before that offset are the ones that were shipped. In a Chunk Len is the
// smaller of 1024 and the chunk's length; Len 0 says that nothing is known.
type Check struct {
	Len int
	Sum uint64
}

// checkOf makes the check at the end of p.
func checkOf(p []byte) Check {
	if len(p) > checkBytes {
		p = p[len(p)-checkBytes:]
	}
	return Check{Len: len(p), Sum: xxh3.Hash(p)}
}

// headOf makes the check of a file's first bytes.
func headOf(r io.ReaderAt, size int64) Check {
	if r == nil {
		return Check{}
	}
	p := make([]byte, min(size, headBytes))
	n, _ := r.ReadAt(p, 0)
	return checkOf(p[:n])
}

// holds reports whether r has the checked bytes right before offset.
func (c Check) holds(r io.ReaderAt, offset int64) bool {
	if c.Len == 0 {
		return true
	}
	if int64(c.Len) > offset || c.Len < 0 || c.Len > checkBytes { // none is made that long: a table holds what anybody sent
		return false
	}
	p := make([]byte, c.Len)
	n, _ := r.ReadAt(p, offset-int64(c.Len))
	return n == c.Len && xxh3.Hash(p) == c.Sum
}
