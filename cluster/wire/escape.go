package wire

import (
	"fmt"
	"strconv"
	"strings"
)

const hexDigits = "0123456789ABCDEF"

// escape makes a source fit for a header: control bytes, spaces, '%' and bytes beyond ASCII become %XX. A header value must not hold a
// line break, and clients trim spaces; paths may hold both.
func escape(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && !mustEscape(s[i])
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; mustEscape(c) {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mustEscape(c byte) bool { return c <= ' ' || c >= 0x7f || c == '%' }

// unescape is the inverse of escape. Bytes that escape would not have let through are refused: one source has one spelling.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c != '%':
			if mustEscape(c) {
				return "", fmt.Errorf("unescaped byte %#x", c)
			}
			b.WriteByte(c)
		case i+2 >= len(s):
			return "", fmt.Errorf("cut escape in %q", s)
		default:
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil || !mustEscape(byte(n)) || strings.ToUpper(s[i+1:i+3]) != s[i+1:i+3] {
				return "", fmt.Errorf("bad escape in %q", s)
			}
			b.WriteByte(byte(n))
			i += 2
		}
	}
	return b.String(), nil
}
