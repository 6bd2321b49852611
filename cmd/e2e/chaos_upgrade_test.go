package e2e_test

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// release is a binary, and what its processes say they are.
type release struct{ version, program string }

// buildNext makes a binary that differs from the one that all tests share by what it says it is.
var buildNext = sync.OnceValues(func() (string, error) {
	return compile("logdrive-next", "-ldflags", "-X main.version=next")
})

func releases(t testing.TB) (now, next release) {
	t.Helper()
	program, err := buildNext()
	must(t, err)
	return release{"dev", binary(t)}, release{"next", program}
}

// install puts a binary where all roles are started from, as packages do: by a rename over the one that runs.
func (s *site) install(b release) {
	s.t.Helper()
	program, err := os.ReadFile(b.program)
	must(s.t, err)
	at := s.path("logdrive")
	must(s.t, os.WriteFile(at+".new", program, 0o755))
	must(s.t, os.Rename(at+".new", at))
	for _, r := range s.roles() {
		r.program = at
	}
}

// runs fails the test unless the process itself says that it is of the release.
func (r *role) runs(b release) {
	r.t.Helper()
	status, metrics := get(r.t, r.ready().HTTP+"/metrics")
	if status != http.StatusOK || strings.Count(metrics, "logdrive_build_info{") != 1 || !strings.Contains(metrics, `version="`+b.version+`"} 1`) {
		r.t.Errorf("%s does not run %s: status %d, its metrics are\n%s", r.name, b.version, status, metrics)
	}
}

// renew restarts a role, and waits as an operator would before the next one.
func (r *role) renew(from, to release) {
	r.t.Helper()
	r.runs(from) // though its file is another's by now
	r.stop()
	r.start().well()
	r.runs(to)
}

// well waits until the process says that it is.
func (r *role) well() {
	r.t.Helper()
	at := r.ready()
	until(r.t, r.name+" is well", func() bool {
		r.alive()
		status, _ := get(r.t, at.HTTP+"/readyz")
		return status == http.StatusOK
	})
}

// upgrade takes everything from one binary to another, one process at a time, and the nodes first.
func (n *nodesRun) upgrade(from, to release) {
	n.t.Helper()
	n.install(to)
	for _, r := range n.nodesFirst() {
		n.pulse.longest()
		r.renew(from, to)
		n.note("%s runs %s", r.name, to.version)
	}
	for _, r := range n.roles() {
		r.runs(to)
	}
}

func (s *site) nodesFirst() (all []*role) {
	for _, n := range s.nodes {
		all = append(all, n.role)
	}
	return append(all, s.receiver, s.agent)
}

// All nodes are restarted under load, one after the other, with another binary, then receiver and agent. The long form goes back again and again.
func TestChaosNodesRollingUpgrade(t *testing.T) {
	slow(t)
	from, to := releases(t)
	flags := []string{"--http-listen", "127.0.0.1:0"}
	s := newSite(t, options{nodes: hubSize, hub: flags, receiver: append(flags, "--segment-size", "256KiB"), agent: flags})
	s.install(from)
	n := loadNodes(s.startAll())
	for range length(1) {
		n.upgrade(from, to)
		from, to = to, from
	}
	n.finish()
}
