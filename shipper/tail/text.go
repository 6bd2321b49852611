package tail

import (
	"bytes"
	"io"
)

// sniffBytes is how much of a file tells whether it is text.
const sniffBytes = 1024

// magics begin compressed files.
var magics = [...]string{
	"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zXZ\x00", "\x04\x22\x4d\x18", "PK\x03\x04", "\x1f\x9d",
}

// isText reports whether a file looks like text: not compressed, and no NUL
// near its beginning.
func isText(r io.ReaderAt) bool {
	p := make([]byte, sniffBytes)
	n, _ := r.ReadAt(p, 0)
	p = p[:n]
	for _, m := range magics {
		if bytes.HasPrefix(p, []byte(m)) {
			return false
		}
	}
	return bytes.IndexByte(p, 0) < 0
}
