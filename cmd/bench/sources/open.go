package sources

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// openTries bounds how often Open starts over because files were renamed meanwhile.
const openTries = 100

// errMoved says that the names do not mean the open files any more.
var errMoved = errors.New("files are renamed faster than they can be opened")

// Reader is the bytes of a source, all generations joined. Close it.
type Reader struct {
	files []*os.File
	at    int // the file that part reads
	part  io.ReadCloser
}

// Open takes hold of every file of the source as they stand now.
func (s Source) Open() (*Reader, error) {
	err := errMoved
	for range openTries {
		var r *Reader
		if r, err = s.openOnce(); err == nil {
			return r, nil
		}
		if !errors.Is(err, errMoved) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, fmt.Errorf("open source %s: %w", s, err)
}

func (s Source) openOnce() (*Reader, error) {
	names, err := s.list()
	if err != nil {
		return nil, err
	}
	r := &Reader{}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		r.files = append(r.files, f)
	}
	if err := r.check(names, s.list); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// check looks whether the names are still all there are, and still mean the open files: a segment rotated between the listing and the opening
// would be missed or read twice.
func (r *Reader) check(names []string, list func() ([]string, error)) error {
	again, err := list()
	if err != nil {
		return err
	}
	if !slices.Equal(names, again) {
		return errMoved
	}
	for _, f := range r.files {
		held, err := f.Stat()
		if err != nil {
			return err
		}
		named, err := os.Stat(f.Name())
		if err != nil {
			return err
		}
		if !os.SameFile(held, named) {
			return errMoved
		}
	}
	return nil
}

func (r *Reader) Read(p []byte) (int, error) {
	for r.at < len(r.files) {
		if r.part == nil {
			part, err := decompressed(r.files[r.at])
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", r.files[r.at].Name(), err)
			}
			r.part = part
		}
		n, err := r.part.Read(p)
		if err != nil && err != io.EOF {
			return n, fmt.Errorf("read %s: %w", r.files[r.at].Name(), err)
		}
		if err == io.EOF {
			r.part.Close()
			r.part = nil
			r.at++
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// Skip passes over the next n bytes; over those of files that are not compressed without reading them. It stops at the end.
func (r *Reader) Skip(n int64) error {
	for n > 0 && r.at < len(r.files) && r.part == nil && !isCompressed(r.files[r.at].Name()) {
		info, err := r.files[r.at].Stat()
		if err != nil {
			return err
		}
		if n < info.Size() {
			_, err := r.files[r.at].Seek(n, io.SeekStart)
			return err
		}
		n -= info.Size()
		r.at++
	}
	_, err := io.CopyN(io.Discard, r, n)
	if err == io.EOF {
		return nil
	}
	return err
}

func isCompressed(name string) bool {
	return strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".zst")
}

// decompressed reads a file by the ending of its name. Closing it leaves the file open.
func decompressed(f *os.File) (io.ReadCloser, error) {
	switch {
	case strings.HasSuffix(f.Name(), ".gz"):
		return gzip.NewReader(f)
	case strings.HasSuffix(f.Name(), ".zst"):
		z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(f), nil
}

// Close lets go of the files.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
