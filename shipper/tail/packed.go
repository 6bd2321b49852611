package tail

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// unpacker reads a compressed file as the file it was made of. Reads go forward; the last
// window is kept, for a line's remains are read twice.
type unpacker struct {
	file   *os.File
	in     io.Reader
	close  func()
	window []byte // content that ends at pos
	pos    int64
}

// openPacked opens a compressed file and reads it through once to learn the
// content's size; what does not unpack is not complete yet, or damaged.
func openPacked(path string) (body, stat, error) {
	f, st, err := openFile(path)
	if err != nil {
		return nil, stat{}, err
	}
	u := &unpacker{file: f}
	if err = u.rewind(); err == nil {
		if st.size, err = io.Copy(io.Discard, u.in); err == nil {
			err = u.rewind()
		}
	}
	if err != nil {
		u.Close()
		return nil, stat{}, fmt.Errorf("unpack %s: %w", path, err)
	}
	return u, st, nil
}

func (u *unpacker) rewind() error {
	if u.close != nil {
		u.close()
		u.close = nil
	}
	if _, err := u.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	u.window, u.pos = u.window[:0], 0
	r := bufio.NewReaderSize(u.file, 64<<10)
	switch filepath.Ext(u.file.Name()) {
	case ".gz":
		z, err := gzip.NewReader(r)
		u.in = z
		return err
	case ".bz2":
		u.in = bzip2.NewReader(r)
		return nil
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err == nil {
			u.in, u.close = z, z.Close
		}
		return err
	}
	return errors.ErrUnsupported
}

// ReadAt reads content at an offset, from the beginning again where it must.
func (u *unpacker) ReadAt(p []byte, off int64) (int, error) {
	if off < u.pos-int64(len(u.window)) {
		if err := u.rewind(); err != nil {
			return 0, err
		}
	}
	if off > u.pos {
		n, err := io.CopyN(io.Discard, u.in, off-u.pos)
		u.pos, u.window = u.pos+n, u.window[:0]
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, u.window[int64(len(u.window))-(u.pos-off):])
	if n == len(p) {
		return n, nil
	}
	m, err := io.ReadFull(u.in, p[n:])
	u.pos += int64(m)
	u.window = append(u.window[:0], p[:n+m]...)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n + m, err
}

// Close lets the file go.
func (u *unpacker) Close() error {
	if u.close != nil {
		u.close()
	}
	return u.file.Close()
}
