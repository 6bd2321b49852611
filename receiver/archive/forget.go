package archive

import "github.com/logdrive/logdrive/cluster/wire"

// forget takes off the list what the table has dropped.
func (p *Partition) forget(s *source) {
	extents := s.host.table.Sources[s.name]
	if len(extents) == 0 || extents[0].Generation == s.oldest {
		return
	}
	for _, g := range s.generations {
		if g.listed && s.host.table.Find(s.name, g.number) == nil {
			g.listed = false
			p.pending.generations[g] = struct{}{}
		}
	}
	s.oldest = extents[0].Generation
}

// unlist takes sources off the list that the table has forgotten, wholly or in part. Their positions stay: bytes of them that come again are doubled.
func (s *stage) unlist(sources []string) {
	for _, name := range sources {
		source := s.host.sources[name]
		if source == nil {
			continue // nothing of it ever came here
		}
		for _, g := range source.generations {
			if g.listed && s.host.table.Find(name, g.number) == nil {
				g.listed = false
				s.p.pending.generations[g] = struct{}{}
			}
		}
	}
}

// noteFinished remembers what a message that is read again declares finished: the host's table in the bucket may be older than that message, and would bring it back.
func (s *stage) noteFinished(b *wire.Batch) {
	if !s.healing() || len(b.Forgets) == 0 {
		return
	}
	if s.host.finished == nil {
		s.host.finished = map[string]uint64{}
	}
	for _, source := range b.Forgets {
		s.host.finished[source] = s.sequence
	}
}

// finishedBehind is what was finished after the given sequence. It is in memory only: a process that ends while it heals its archive may bring some back, and
// their agent finishes them once more.
func (h *host) finishedBehind(sequence uint64) map[string]bool {
	finished := map[string]bool{}
	for source, at := range h.finished {
		if at > sequence {
			finished[source] = true
		}
	}
	return finished
}
