package archive_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/logdrive/logdrive/receiver/archive"
)

// place is one generation of one source.
type place struct {
	host, source string
	generation   uint64
}

// promise is what an archive must hold: a plain description of the rules, without files.
type promise struct {
	sequence uint64
	ends     map[string]uint64 // last sequence, by host
	position map[place]int64
	identity map[place]string
	held     map[place][]int64 // offsets of every byte archived, ascending
	ledger   map[string]bool
}

func (p *promise) clone() promise {
	c := *p
	c.ends, c.position, c.identity, c.ledger = maps.Clone(p.ends), maps.Clone(p.position), maps.Clone(p.identity), maps.Clone(p.ledger)
	c.held = map[place][]int64{}
	for k, v := range p.held {
		c.held[k] = slices.Clone(v)
	}
	return c
}

func (p *promise) enter(at place, from, to int64, reason string) {
	p.ledger[fmt.Sprintf("%s %s %d [%d,%d) %s", at.host, at.source, at.generation, from, to, reason)] = true
}

func (p *promise) apply(m archive.Message) {
	for _, o := range m.Batch.Opens {
		p.identity[place{m.Host, o.Source, o.Generation}] = o.Identity
	}
	for _, x := range m.Batch.Missing {
		at := place{m.Host, x.Source, x.Generation}
		if x.To > p.position[at] {
			p.skip(at, x.From)
			p.enter(at, p.position[at], x.To, x.Reason)
			p.position[at] = x.To
		}
	}
	for _, c := range m.Batch.Chunks {
		at := place{m.Host, c.Source, c.Generation}
		p.skip(at, c.Offset)
		for o := max(c.Offset, p.position[at]); o < c.Offset+c.Length; o++ {
			p.held[at] = append(p.held[at], o)
		}
		p.position[at] = max(p.position[at], c.Offset+c.Length)
	}
	p.sequence, p.ends[m.Host] = m.Sequence, m.Sequence
}

// skip enters a gap that nobody declared.
func (p *promise) skip(at place, to int64) {
	if to > p.position[at] {
		p.enter(at, p.position[at], to, archive.ReasonUnexplained)
		p.position[at] = to
	}
}

// letter is the byte that stands at an offset: every place has its own text, so bytes cannot be mixed up unseen.
func letter(at place, offset int64) byte {
	n := offset*31 + offset/17 + int64(len(at.host)+2*len(at.source)) + 5*int64(at.generation)
	return "abcdefghijklmnopqrstuvwxyz\n"[n%27]
}

func text(at place, from, to int64) string {
	b := make([]byte, 0, to-from)
	for o := from; o < to; o++ {
		b = append(b, letter(at, o))
	}
	return string(b)
}
