package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Marks begin with '%' and go on with what is no upper-case hex digit, so no escaped byte looks like one and no source can forge one.
const (
	markEmpty      = "%-"  // an empty component: two slashes in a row, or one at the end
	markRelative   = "%."  // first component of a source that does not begin with a slash
	markClash      = "%@"  // a file that stands where a directory must, or the other way round
	markShort      = "%~"  // a name cut to fit the file system, followed by a hash; the index has it in full
	markPlain      = "%="  // no segment, though the name looks like one
	markGeneration = "%"   // followed by digits: a rotated segment: generation, offset of its first byte
	markUnfinished = "%+"  // a file being compressed
	suffixGzip     = ".gz" // of a segment compressed with gzip
	suffixZstd     = ".zst"
)

// looksRotated matches what rotatedName makes. A source can only look so by way of an escaped byte: NUL and digits behind it.
var looksRotated = regexp.MustCompile(`%[0-9]{8,}-[0-9]{18,}(\.gz|\.zst)?$`)

const (
	maxComponent = 255 - len("%") - 20 - len("-") - 19 - len(suffixZstd) - len(markUnfinished) - len(markClash) - len(markPlain)
	maxPath      = 2048 // longer ones could not be opened by their name below a deep archive directory
)

var errShortened = errors.New("shortened path")

// encodeSource is the path of a source below its host's directory. fold: the file system takes A and a for the same.
// Different sources have different paths, none of which leaves the directory; decodeSource is the inverse unless names were too long.
func encodeSource(source string, fold bool) string {
	rest, absolute := strings.CutPrefix(source, "/")
	var components []string
	if !absolute {
		components = append(components, markRelative)
	}
	for component := range strings.SplitSeq(rest, "/") {
		components = append(components, encodeComponent(component, fold))
	}
	path := strings.Join(components, "/")
	if len(path) > maxPath {
		return markShort + "/" + hash(source) + "/" + components[len(components)-1]
	}
	return path
}

// decodeSource is the source of a path, for directories whose index is not at hand. It fails on shortened names.
func decodeSource(path string) (string, error) {
	var b strings.Builder
	components := strings.Split(path, "/")
	if components[0] == markShort {
		return "", fmt.Errorf("decode %q: %w", path, errShortened)
	}
	if components[0] == markRelative {
		components = components[1:]
	} else {
		b.WriteByte('/')
	}
	for i, c := range components {
		if i > 0 {
			b.WriteByte('/')
		}
		for strings.HasSuffix(c, markClash) {
			c = strings.TrimSuffix(c, markClash)
		}
		plain, err := decodeComponent(strings.TrimSuffix(c, markPlain))
		if err != nil {
			return "", fmt.Errorf("decode %q: %w", path, err)
		}
		b.WriteString(plain)
	}
	return b.String(), nil
}

func encodeComponent(component string, fold bool) string {
	switch component {
	case "":
		return markEmpty
	case ".":
		return "%2E"
	case "..":
		return "%2E%2E"
	}
	var b strings.Builder
	for i := 0; i < len(component); {
		r, size := utf8.DecodeRuneInString(component[i:])
		if plain(r, size, fold) {
			b.WriteString(component[i : i+size])
		} else {
			for _, c := range []byte(component[i : i+size]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		i += size
	}
	encoded := shorten(b.String(), component)
	if looksRotated.MatchString(encoded) {
		encoded += markPlain
	}
	return encoded
}

func plain(r rune, size int, fold bool) bool {
	switch {
	case r == utf8.RuneError && size == 1, r == '%', r == '\\', !unicode.IsPrint(r):
		return false
	case fold:
		return r < utf8.RuneSelf && !unicode.IsUpper(r)
	}
	return true
}

// shorten makes room for the suffix of a rotated segment.
func shorten(encoded, component string) string {
	if len(encoded) <= maxComponent {
		return encoded
	}
	tail := markShort + hash(component)
	cut := maxComponent - len(tail)
	for !utf8.RuneStart(encoded[cut]) || strings.ContainsRune(encoded[cut-2:cut], '%') {
		cut--
	}
	return encoded[:cut] + tail
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

func decodeComponent(c string) (string, error) {
	if c == markEmpty {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(c); i++ {
		if c[i] != '%' {
			b.WriteByte(c[i])
			continue
		}
		if strings.HasPrefix(c[i:], markShort) {
			return "", errShortened
		}
		if i+2 >= len(c) || strings.ToUpper(c[i+1:i+3]) != c[i+1:i+3] {
			return "", fmt.Errorf("bad escape in %q", c)
		}
		n, err := strconv.ParseUint(c[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("bad escape in %q", c)
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

// rotatedName is the name of a segment that is not the newest of its source. It sorts by generation and offset, and holds no
// time, so a clock that steps cannot make two segments meet.
func rotatedName(path string, generation uint64, start int64) string {
	return fmt.Sprintf("%s%s%08d-%018d", path, markGeneration, generation, start)
}

// parseRotated takes a file's name apart: the name of its source, and which segment it is. ok is false for an active file.
func parseRotated(name string) (source string, generation uint64, start int64, ok bool) {
	if !looksRotated.MatchString(name) {
		return name, 0, 0, false
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, suffixGzip), suffixZstd)
	i := strings.LastIndex(name, markGeneration)
	g, o, found := strings.Cut(name[i+len(markGeneration):], "-")
	generation, errG := strconv.ParseUint(g, 10, 64)
	start, errO := strconv.ParseInt(o, 10, 64)
	return name[:i], generation, start, found && errG == nil && errO == nil
}
