package torture

import (
	"bytes"
	"fmt"
	"strconv"
)

// Report says what became of the lines 1 to Written.
type Report struct {
	Written   int
	Lost      int
	Doubled   int
	Split     int // lines that are not one that was written
	Reordered int
	First     string // the first fault, for people
}

// Exact reports whether every line came once, whole and in order.
func (r Report) Exact() bool { return r.Lost == 0 && r.Clean() }

// Clean reports whether what came is in order and nothing came twice or in pieces.
func (r Report) Clean() bool { return r.Doubled == 0 && r.Split == 0 && r.Reordered == 0 }

func (r Report) String() string {
	return fmt.Sprintf("of %d lines: lost %d, doubled %d, split %d, reordered %d; first: %s",
		r.Written, r.Lost, r.Doubled, r.Split, r.Reordered, r.First)
}

func (r *Report) fault(format string, args ...any) {
	if r.First == "" {
		r.First = fmt.Sprintf(format, args...)
	}
}

// Check compares what came, joined, with the lines 1 to written.
func (s Scenario) Check(came []byte, written int) Report {
	r := Report{Written: written}
	seen := make([]bool, written+1)
	last, lines := 0, 0
	for rest := came; len(rest) > 0; {
		_, after, _ := bytes.Cut(rest, []byte("\n"))
		line := rest[:len(rest)-len(after)]
		rest = after
		lines++
		n := number(line)
		switch {
		case n < 1 || n > written || !bytes.Equal(line, s.Line(n)):
			r.Split++
			r.fault("line %d is %.60q after number %d", lines, line, last)
			continue
		case seen[n]:
			r.Doubled++
			r.fault("number %d again after %d", n, last)
		case n < last:
			r.Reordered++
			r.fault("number %d after %d", n, last)
		}
		seen[n] = true
		last = n
	}
	for n := 1; n <= written; n++ {
		if !seen[n] {
			r.Lost++
			r.fault("number %d is lost", n)
		}
	}
	return r
}

// Last is the number of the last whole line of what came, 0 if there is none.
func (s Scenario) Last(came []byte) int {
	end := bytes.LastIndexByte(came, '\n') + 1
	start := bytes.LastIndexByte(came[:max(0, end-1)], '\n') + 1
	return number(came[start:end])
}

// Line is the text of a line with its newline.
func (s Scenario) Line(n int) []byte {
	if s.line != nil {
		return s.line(n)
	}
	return plain(n)
}

const digits = 9

// plain lines differ in length and end alike, as logs do.
func plain(n int) []byte {
	return fmt.Appendf(nil, "%0*d %s end of the line\n", digits, n, bytes.Repeat([]byte("abcdefghij"), n%17))
}

func crlf(n int) []byte {
	return append(bytes.TrimSuffix(plain(n), []byte("\n")), "\r\n"...)
}

func binary(n int) []byte {
	return fmt.Appendf(nil, "%0*d \x00\xff\xfe %s\x00\n", digits, n, bytes.Repeat([]byte{0, 0x80, 0xc3}, n%23))
}

const longLine = 10 << 20

func long(n int) []byte {
	if n%10 != 0 {
		return plain(n)
	}
	return fmt.Appendf(nil, "%0*d %s\n", digits, n, bytes.Repeat([]byte("0123456789abcdef"), longLine/16))
}

func number(line []byte) int {
	if len(line) < digits {
		return 0
	}
	n, err := strconv.Atoi(string(line[:digits]))
	if err != nil {
		return 0
	}
	return n
}
