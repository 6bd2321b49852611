package lines

import "math/bits"

// seen is a set of line numbers: one bit each, so that a run of many millions fits in memory.
type seen struct {
	words []uint64
	count uint64
	end   uint64 // 1 + the highest number in it
}

// maxNumber bounds the set to 512 MiB: a number beyond it is no number of ours.
const maxNumber = 1 << 32

// add puts n in and says whether it was there.
func (s *seen) add(n uint64) (again bool) {
	word, bit := n/64, uint64(1)<<(n%64)
	for uint64(len(s.words)) <= word {
		s.words = append(s.words, 0)
	}
	if s.words[word]&bit != 0 {
		return true
	}
	s.words[word] |= bit
	s.count++
	s.end = max(s.end, n+1)
	return false
}

func (s *seen) has(n uint64) bool {
	return n/64 < uint64(len(s.words)) && s.words[n/64]&(1<<(n%64)) != 0
}

// holes lists the ranges of [0, end) that are not in the set.
func (s *seen) holes(end uint64) []Range {
	var out []Range
	for n := uint64(0); n < end; {
		if s.has(n) {
			n = s.skip(n)
			continue
		}
		from := n
		for n < end && !s.has(n) {
			n++
		}
		out = append(out, Range{From: from, To: n})
	}
	return out
}

// skip returns the first number after n that may be missing.
func (s *seen) skip(n uint64) uint64 {
	ones := bits.TrailingZeros64(^(s.words[n/64] >> (n % 64)))
	return n + uint64(max(1, min(ones, int(64-n%64))))
}
