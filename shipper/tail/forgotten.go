package tail

import (
	"path/filepath"
	"slices"
)

// before reports whether the entry was written for the last time before the
// oldest known generation began: it was shipped, and the chain has forgotten it.
func (s *source) before(e entry) bool {
	newer := func(known string) bool { return s.newer(e.path, known) }
	return s.began != 0 && e.st.mtime < s.began && (e.held == nil || e.unread) && !slices.ContainsFunc(s.standing, newer)
}

// newer reports whether a file came after another by their names. Times do not tell, where the clock was set back.
func (s *source) newer(path, than string) bool {
	if path == s.path || than == s.path {
		return than != s.path
	}
	a, b := filepath.Base(path), filepath.Base(than)
	alike := filepath.Dir(path) == filepath.Dir(than) && (counted(a) == counted(b))
	return alike && compareNames(a, b) > 0
}

// noteBeginning corrects what the births of the known generations tell by their files: those that were brought from elsewhere with their times are younger
// than their content.
func (s *source) noteBeginning(found []entry) {
	s.standing = s.standing[:0]
	if s.began == 0 {
		return
	}
	for _, e := range found {
		known := func(g *generation) bool { return g.number != 0 && g.id.sameInode(e.st) }
		if !e.packed && (slices.ContainsFunc(s.queue, known) || slices.ContainsFunc(s.late, known) || slices.ContainsFunc(s.past, known)) {
			s.began, s.standing = min(s.began, e.st.mtime), append(s.standing, e.path)
		}
	}
}

// dropForgotten leaves out what the chain has forgotten: what is older, by name and by last writing, than the file in which the oldest known generation stands. Births do not
// tell that where the file system has none, where a log is copied and cut, or where a program writes to a rotated file for a while after the next was made.
func (s *source) dropForgotten(rest []entry) []entry {
	oldest := s.oldestStanding()
	if oldest == nil {
		return rest
	}
	return slices.DeleteFunc(slices.Clone(rest), func(e entry) bool {
		_, fresh := s.tailer.loose[e.held]
		if e.err != nil || !fresh && !e.unread || e.path == s.path || e.st.mtime > oldest.mtime || !s.newer(oldest.path, e.path) {
			return false
		}
		s.settled[e.st.inode()] = e.size
		return true
	})
}

// oldestStanding is the oldest generation that the chain knows, of those whose files stand rotated; nil if there is none, or if the chain has
// forgotten nothing.
func (s *source) oldestStanding() (oldest *generation) {
	if s.lowest <= 1 {
		return nil
	}
	for _, gens := range [...][]*generation{s.queue, s.late, s.past} {
		for _, g := range gens {
			if g.number == 0 || g.packed || g.inode == (inode{}) || g.path == "" || g.path == s.path || g.mtime == 0 || (oldest != nil && oldest.number < g.number) {
				continue
			}
			oldest = g
		}
	}
	return oldest
}
