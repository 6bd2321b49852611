package lines

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// Rotation is how a log file is put aside, in the two ways logrotate does it.
type Rotation int

const (
	Rename       Rotation = iota // the file gets the name NAME.1, a new one is made
	CopyTruncate                 // the file is copied to NAME.1 and cut to nothing
)

// ParseRotation reads "rename" or "copytruncate".
func ParseRotation(s string) (Rotation, error) {
	switch s {
	case "rename":
		return Rename, nil
	case "copytruncate":
		return CopyTruncate, nil
	}
	return 0, fmt.Errorf("rotation %q: want rename or copytruncate", s)
}

// Writer appends the lines of one Maker to a file, as a program does that logs: every call is one write(2).
type Writer struct {
	path  string
	maker *Maker
	file  *os.File
	buf   []byte
	bytes int64
}

// OpenWriter opens path for appending, and makes it if need be.
func OpenWriter(path string, m *Maker) (*Writer, error) {
	w := &Writer{path: path, maker: m}
	return w, w.open()
}

func (w *Writer) open() (err error) {
	w.file, err = os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	return nil
}

// Path is the name of the file that is written, whatever it was rotated to before.
func (w *Writer) Path() string { return w.path }

// Origin is the name the lines are numbered under.
func (w *Writer) Origin() string { return w.maker.Origin() }

// Lines is the number the next line gets.
func (w *Writer) Lines() uint64 { return w.maker.Next() }

// Bytes is how many were written since OpenWriter.
func (w *Writer) Bytes() int64 { return w.bytes }

// Line writes one line, stamped with the time just before the write.
func (w *Writer) Line() error {
	w.buf = w.maker.Append(w.buf[:0], time.Now())
	return w.write()
}

// Block writes whole lines of at least size bytes at once.
func (w *Writer) Block(size int) error {
	w.buf = w.maker.AppendBlock(w.buf[:0], size, time.Now())
	return w.write()
}

// Lines cannot be taken back: after an error the file may hold a torn one, and the Writer is of no more use.
func (w *Writer) write() error {
	n, err := w.file.Write(w.buf)
	w.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// Rotate puts the file aside as NAME.1, after moving NAME.1 to NAME.2 and so on; nothing is removed.
func (w *Writer) Rotate(how Rotation) error {
	if err := shift(w.path, 1); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if how == CopyTruncate {
		return w.copyTruncate()
	}
	if err := os.Rename(w.path, numbered(w.path, 1)); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return w.open()
}

// shift frees the name path.n.
func shift(path string, n int) error {
	_, err := os.Lstat(numbered(path, n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := shift(path, n+1); err != nil {
		return err
	}
	return os.Rename(numbered(path, n), numbered(path, n+1))
}

func numbered(path string, n int) string { return path + "." + strconv.Itoa(n) }

func (w *Writer) copyTruncate() error {
	from, err := os.Open(w.path)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	defer from.Close()
	to, err := os.OpenFile(numbered(w.path, 1), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if err := w.file.Truncate(0); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return nil
}

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }
