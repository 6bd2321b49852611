package wire

import (
	"errors"
	"fmt"
	"strings"
)

// MaxHost is the longest host name in bytes; the same as DNS allows.
const MaxHost = 253

// ErrHost is wrapped by every complaint about a host name.
var ErrHost = errors.New("invalid host name")

// ValidHost reports why name cannot be a host, or nil. A host is letters, digits, '.', '-' and '_', at most MaxHost bytes, and begins
// and ends with a letter or digit: a name that is safe as a directory of the archive and, with dots encoded, as one subject token.
func ValidHost(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrHost)
	case len(name) > MaxHost:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrHost, len(name), MaxHost)
	case strings.Contains(name, ".."):
		return fmt.Errorf("%w %q: two dots in a row", ErrHost, name)
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return fmt.Errorf("%w %q: byte %d is %q; letters, digits, '.', '-' and '_' are allowed", ErrHost, name, i, c)
		}
	}
	if !alphanumeric(name[0]) || !alphanumeric(name[len(name)-1]) {
		return fmt.Errorf("%w %q: it must begin and end with a letter or digit", ErrHost, name)
	}
	return nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// HostToken is the host as one subject token and key part: its dots become '=', which no host contains.
func HostToken(host string) string { return strings.ReplaceAll(host, ".", "=") }

// HostOfToken is the inverse of HostToken. Tokens come from the network: what is no valid host is an error.
func HostOfToken(token string) (string, error) {
	if strings.Contains(token, ".") {
		return "", fmt.Errorf("%w: token %q holds a dot", ErrHost, token)
	}
	host := strings.ReplaceAll(token, "=", ".")
	return host, ValidHost(host)
}
