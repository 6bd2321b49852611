package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compress replaces a sealed segment by a compressed one: aside, synced, renamed, told to the index, and only then is the original removed. Killed in between, the
// index knows which of the two files counts, and Open removes the other.
func (a *Archive) compress(ctx context.Context, key []byte, v segmentValue) error {
	target := gzipped
	if a.cfg.Compress == Zstd {
		target = zstded
	}
	from, err := a.fileOf(key, sealed)
	if err != nil {
		return err
	}
	to, err := a.fileOf(key, target)
	if err != nil {
		return err
	}
	aside := to + markUnfinished
	if err := a.writeCompressed(ctx, from, aside, v.length); err != nil {
		return errors.Join(fmt.Errorf("compress %s: %w", from, err), a.remove(aside))
	}
	if err := a.replace(key, target, from, aside, to); err != nil {
		return fmt.Errorf("compress %s: %w", from, err)
	}
	a.stats.compressed.Add(1)
	return nil
}

// replace puts the compressed file in the place of the original. Recovery of the host must not run meanwhile: it would remove whichever of the two the
// index does not name yet, and this here then the other.
func (a *Archive) replace(key []byte, target state, from, aside, to string) error {
	a.settling.Lock()
	defer a.settling.Unlock()
	if err := a.install(aside, to); err != nil {
		return err
	}
	if err := a.setState(key, sealed, target); err != nil {
		return err
	}
	if err := at("compress: index written"); err != nil {
		return err
	}
	return a.remove(from)
}

// install gives a finished file its name, durably.
func (a *Archive) install(aside, to string) error {
	if err := at("compress: written aside"); err != nil {
		return err
	}
	if err := a.root.Rename(aside, to); err != nil {
		return err
	}
	if err := a.syncDir(path.Dir(to)); err != nil {
		return err
	}
	return at("compress: renamed")
}

func (a *Archive) writeCompressed(ctx context.Context, from, to string, length int64) (err error) {
	in, err := a.root.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := a.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w, err := compressor(out, a.cfg.Compress)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, contextReader{ctx, io.LimitReader(in, length)})
	if err == nil && n != length {
		err = fmt.Errorf("it holds %d bytes, %d are committed", n, length)
	}
	return errors.Join(err, w.Close(), out.Sync())
}

func compressor(w io.Writer, how string) (io.WriteCloser, error) {
	if how == Zstd {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return gzip.NewWriterLevel(w, gzip.BestSpeed+2)
}

// contextReader ends when its context does: a segment takes seconds to compress, and a receiver that stops must not wait for it.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
