package lines

import (
	"bytes"
	"errors"
	"strconv"
	"time"
	"unsafe"

	"github.com/zeebo/xxh3"
)

// jsonEnd follows the mark in a JSON line.
const jsonEnd = `"}`

// sumDigits is the length of the sum at the end of a mark, in hexadecimal digits.
const sumDigits = 8

// ErrTorn is what [Parse] returns for a line that is not exactly one a [Maker] made.
var ErrTorn = errors.New("line is torn: no mark, or its sum does not match")

// Mark is what a line says of itself.
type Mark struct {
	Origin []byte // host:source; part of the parsed line, not a copy
	Number uint64
	Nanos  int64 // Unix time it was stamped with
}

// mark appends the mark of the line that starts at start.
func (m *Maker) mark(dst []byte, start int, at time.Time) []byte {
	dst = append(dst, m.cfg.Origin...)
	dst = append(dst, '#')
	dst = strconv.AppendUint(dst, m.next, 10)
	dst = append(dst, '@')
	dst = strconv.AppendInt(dst, at.UnixNano(), 10)
	sum := xxh3.Hash(dst[start:])
	dst = append(dst, '~')
	return appendHex(dst, sum, sumDigits)
}

// Parse reads the mark of a line, given with or without its newline.
func Parse(line []byte) (Mark, error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	before := byte(' ')
	if len(line) > 0 && line[0] == '{' {
		text, ok := bytes.CutSuffix(line, []byte(jsonEnd))
		if !ok {
			return Mark{}, ErrTorn
		}
		line, before = text, '"'
	}
	tilde := len(line) - sumDigits - 1
	if tilde < 0 || line[tilde] != '~' || !sumMatches(line[:tilde], line[tilde+1:]) {
		return Mark{}, ErrTorn
	}
	return parseMark(line[bytes.LastIndexByte(line[:tilde], before)+1 : tilde])
}

func sumMatches(text, digits []byte) bool {
	var want [sumDigits]byte
	return bytes.Equal(appendHex(want[:0], xxh3.Hash(text), sumDigits), digits)
}

// parseMark reads origin#number@nanos.
func parseMark(mark []byte) (Mark, error) {
	at := bytes.LastIndexByte(mark, '@')
	if at < 0 {
		return Mark{}, ErrTorn
	}
	hash := bytes.LastIndexByte(mark[:at], '#')
	if hash <= 0 {
		return Mark{}, ErrTorn
	}
	number, err := strconv.ParseUint(text(mark[hash+1:at]), 10, 64)
	if err != nil {
		return Mark{}, ErrTorn
	}
	nanos, err := strconv.ParseInt(text(mark[at+1:]), 10, 64)
	if err != nil {
		return Mark{}, ErrTorn
	}
	return Mark{Origin: mark[:hash], Number: number, Nanos: nanos}, nil
}

// text lends bytes to strconv without a copy for each line; strconv copies what it keeps for its errors.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
