package e2e_test

import (
	"github.com/logdrive/logdrive/cmd/bench/invariants"
)

// invariants checks what must hold after whatever happened (schedule T13), with agent and receiver stopped and the hub running. others are archives that
// were the site's before.
func (s *site) invariants(others ...string) {
	s.t.Helper()
	v := s.view()
	defer v.nc.Close()
	hub, err := invariants.ReadHub(v.ctx, v.nc)
	must(s.t, err)
	var archives []invariants.Archive
	for _, dir := range append(others, s.archiveDir) {
		a, err := invariants.ReadArchive(dir)
		must(s.t, err)
		archives = append(archives, a)
	}
	for _, violation := range invariants.Check(hub, archives) {
		s.t.Errorf("invariant violated: %v", violation)
	}
}
