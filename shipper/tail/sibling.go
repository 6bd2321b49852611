package tail

import (
	"cmp"
	"path/filepath"
	"strconv"
	"strings"
)

// packedSuffixes are the names of compressed files that a rotation makes.
var packedSuffixes = []string{".gz", ".zst", ".bz2", ".xz", ".lz4", ".Z", ".zip"}

// unpacked returns the name without the suffix of a compressed file.
func unpacked(name string) (string, bool) {
	for _, s := range packedSuffixes {
		if base, ok := strings.CutSuffix(name, s); ok && base != "" {
			return base, true
		}
	}
	return name, false
}

// siblingOf returns the name of the log that a rotated file was: "access.log"
// for access.log.1, access.log.2.gz, access.log-20260101, access-2026-01-01.log and
// access.log.old. It reports false for a name that no rotation gives.
func siblingOf(name string) (string, bool) {
	name, packed := unpacked(name)
	if base, ok := cutSuffix(name); ok {
		return base, true
	}
	if ext := filepath.Ext(name); ext != "" {
		if stem, ok := cutDate(strings.TrimSuffix(name, ext)); ok {
			return stem + ext, true
		}
	}
	return name, packed
}

// IsRotated reports whether a name is one that rotation gives: a file of that name belongs to the log that it was.
func IsRotated(name string) bool {
	_, is := siblingOf(name)
	return is
}

// cutSuffix removes what rotation puts behind a whole name.
func cutSuffix(name string) (string, bool) {
	for _, s := range [...]string{".old", ".bak", ".prev"} {
		if base, ok := strings.CutSuffix(name, s); ok && base != "" {
			return base, true
		}
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 && isCount(name[i+1:]) {
		return name[:i], true
	}
	return cutDate(name)
}

func isCount(s string) bool {
	return len(s) > 0 && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}

// cutDate removes a separator and a date from the end of a name: the longest
// run of digits and date punctuation that has at least eight digits.
func cutDate(name string) (string, bool) {
	i := len(strings.TrimRight(name, "0123456789-_.:T+Z"))
	for ; i < len(name); i++ {
		if !strings.ContainsRune("-_.", rune(name[i])) || i == 0 {
			continue
		}
		if isDate(name[i+1:]) {
			return name[:i], true
		}
	}
	return name, false
}

// isDate reports whether s is a year first date, or seconds since 1970, with
// anything of a time behind it.
func isDate(s string) bool {
	digits := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			digits++
		}
	}
	if digits < 8 || digits > 26 {
		return false
	}
	return strings.HasPrefix(s, "19") || strings.HasPrefix(s, "20") ||
		(digits == 10 && len(s) == 10 && s[0] == '1')
}

// isSibling reports whether a rotation of base may have given name.
func isSibling(name, base string) bool {
	for {
		shorter, ok := siblingOf(name)
		if !ok {
			return false
		}
		if shorter == base {
			return true
		}
		name = shorter
	}
}

// compareNames orders siblings of the same age: counts descend, for
// access.log.2 is older than access.log.1; everything else ascends.
func compareNames(a, b string) int {
	a, _ = unpacked(a)
	b, _ = unpacked(b)
	ca, cb := count(a), count(b)
	if ca >= 0 && cb >= 0 {
		return cmp.Compare(cb, ca)
	}
	return cmp.Compare(a, b)
}

// count is the number a rotated file's name ends in, -1 if it has none.
func count(name string) int {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || !isCount(name[i+1:]) {
		return -1
	}
	n, err := strconv.Atoi(name[i+1:])
	if err != nil {
		return -1
	}
	return n
}

// counted reports whether a rotated file's name ends in a number, packed or not.
func counted(name string) bool {
	name, _ = unpacked(name)
	return count(name) >= 0
}
