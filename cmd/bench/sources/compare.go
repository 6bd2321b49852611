package sources

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const compareBlock = 256 << 10

// Difference tells how two streams differ.
type Difference struct {
	Equal bool  `json:"equal"`
	At    int64 `json:"at"`   // offset of the first difference; where equal, the length of both
	Want  int64 `json:"want"` // length of the source
	Got   int64 `json:"got"`  // length of the archive
}

func (d Difference) String() string {
	switch {
	case d.Equal:
		return fmt.Sprintf("equal, %d bytes", d.Got)
	case d.At == d.Got:
		return fmt.Sprintf("ends at byte %d of %d", d.Got, d.Want)
	case d.At == d.Want:
		return fmt.Sprintf("goes on for %d bytes after the end of the source at byte %d", d.Got-d.Want, d.Want)
	}
	return fmt.Sprintf("differs at byte %d; %d bytes in the source, %d in the archive", d.At, d.Want, d.Got)
}

// Compare reads both to their ends.
func Compare(want, got io.Reader) (Difference, error) {
	a, b := bufio.NewReaderSize(want, compareBlock), bufio.NewReaderSize(got, compareBlock)
	d := Difference{Equal: true}
	for {
		x, errA := a.Peek(compareBlock)
		y, errB := b.Peek(compareBlock)
		if err := errors.Join(notEnd(errA), notEnd(errB)); err != nil {
			return d, fmt.Errorf("compare: %w", err)
		}
		n := min(len(x), len(y))
		if d.Equal {
			same := samePrefix(x[:n], y[:n])
			d.At += int64(same)
			d.Equal = same == n && (n > 0 || len(x) == len(y))
		}
		if n == 0 {
			return d.drain(a, b)
		}
		d.Want, d.Got = d.Want+int64(n), d.Got+int64(n)
		a.Discard(n)
		b.Discard(n)
	}
}

// drain counts what is left of the longer one.
func (d Difference) drain(a, b io.Reader) (Difference, error) {
	x, errA := io.Copy(io.Discard, a)
	y, errB := io.Copy(io.Discard, b)
	d.Want, d.Got = d.Want+x, d.Got+y
	return d, errors.Join(errA, errB)
}

func notEnd(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func samePrefix(x, y []byte) int {
	if bytes.Equal(x, y) {
		return len(x)
	}
	for i := range x {
		if x[i] != y[i] {
			return i
		}
	}
	return len(x)
}
