package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/sources"
	"github.com/logdrive/logdrive/cmd/e2e/torture"
)

// Every way of writing and rotating a log goes through hub, receiver and agent as three processes: what can be had at all is in the archive,
// once, whole and in order. LOGDRIVE_TORTURE=full is the long form.
func TestTorture(t *testing.T) {
	slow(t)
	runs, lines := 1, 400
	if os.Getenv("LOGDRIVE_TORTURE") == "full" {
		runs, lines = 20, 6000
	}
	s := newSite(t, options{})
	s.hub.start().ready()
	s.receiver.start().ready()
	for _, scenario := range torture.Scenarios {
		for range runs {
			t.Run(scenario.Name, func(t *testing.T) { s.torture(t, scenario, lines) })
		}
	}
	s.receiver.stop()
	lossy := torture.Scenarios[0]
	for _, scenario := range torture.Scenarios {
		if scenario.Lossy {
			lossy = scenario
		}
	}
	for _, g := range readLedger(t, s.archiveDir) {
		if !strings.Contains(g.source, lossy.Name) {
			t.Errorf("ledger: %v", g)
		}
	}
	s.hub.stop()
}

// torture runs one scenario with an agent of its own.
func (s *site) torture(t *testing.T, scenario torture.Scenario, lines int) {
	dir := filepath.Join(tempDir(t), scenario.Name)
	must(t, os.Mkdir(dir, 0o755))
	if scenario.Name != "not_yet_existing" {
		must(t, os.MkdirAll(filepath.Dir(scenario.Source(dir)), 0o755))
	}
	agent := s.agentOf(t, scenario.Name, scenario.Source(dir))
	if scenario.Unprivileged {
		agent.unprivileged(filepath.Dir(dir), dir)
	}
	agent.start().ready()
	until(t, "the agent looks at its files", func() bool { return agent.logged("joined the chain") })
	p, err := scenario.Start(dir, lines)
	must(t, err)
	written, ended := 0, false
	defer func() {
		if !ended {
			p.Stop()
		}
	}()
	var came []byte
	growing := time.Now()
	for !ended || !complete(scenario, came, written) {
		agent.alive()
		if !ended {
			written, ended, err = p.Ended()
			must(t, err)
		}
		now := s.readArchive(t, agent.name, scenario.Source(dir))
		if len(now) != len(came) {
			growing = time.Now()
			must(t, p.Arrived(bytes.Count(now, []byte("\n"))))
		}
		came = now
		if time.Since(growing) > patience/2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	agent.stop()
	report := scenario.Check(s.readArchive(t, agent.name, scenario.Source(dir)), written)
	if !ended || !report.Clean() || !scenario.Lossy && !report.Exact() {
		t.Errorf("writer ended: %v; %v", ended, report)
		s.listArchive(t, agent.name, scenario.Source(dir))
	}
}

// complete says that nothing more can come. Where lines are lost, the last one tells.
func complete(scenario torture.Scenario, came []byte, written int) bool {
	if scenario.Lossy {
		return bytes.HasSuffix(came, scenario.Line(written))
	}
	return bytes.Count(came, []byte("\n")) >= written
}

// agentOf makes another agent of the site; its host is its name.
func (s *site) agentOf(t testing.TB, name string, paths ...string) *role {
	t.Helper()
	name = strings.ReplaceAll(name, "_", "-")
	dir := tempDir(t)
	return newRole(t, dir, "agent", append([]string{
		"--hub", s.leaf.Leaf(), "--secret", filepath.Join(s.storeDir, "secret"), "--host", name, "--state", filepath.Join(dir, "state"),
	}, paths...)...).as(name)
}

// as gives the role a name of its own; its command stays.
func (r *role) as(name string) *role {
	r.name = name
	return r
}

// unprivileged lets the role run as nobody, with the given directories as its own: nothing is forbidden to root.
func (r *role) unprivileged(dirs ...string) {
	r.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	r.user = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}
	must(r.t, os.Chmod(work, 0o755))
	own := filepath.Dir(r.log)
	for i, a := range r.args {
		if a == "--secret" {
			data, err := os.ReadFile(r.args[i+1])
			must(r.t, err)
			r.args[i+1] = filepath.Join(own, "secret")
			must(r.t, os.WriteFile(r.args[i+1], data, 0o644))
		}
	}
	must(r.t, os.Chown(own, 65534, 65534))
	for _, dir := range dirs {
		must(r.t, os.Chmod(dir, 0o755))
	}
}

// readArchive is what the archive holds of a source, all generations joined.
func (s *site) readArchive(t testing.TB, host, path string) []byte {
	t.Helper()
	for {
		data, err := s.tryArchive(host, path)
		if !errors.Is(err, fs.ErrNotExist) { // else a segment was renamed between listing and opening
			must(t, err)
			return data
		}
	}
}

func (s *site) tryArchive(host, path string) ([]byte, error) {
	r, err := archived(s.archiveDir, &source{host: host, path: path})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (s *site) listArchive(t testing.TB, host, path string) {
	t.Helper()
	all, err := sources.Archive(s.archiveDir)
	must(t, err)
	for _, a := range all {
		if a.Host == host {
			t.Logf("archive holds %s", a.Path)
		}
	}
	files, err := filepath.Glob(filepath.Join(s.archiveDir, "hosts", host, path) + "*")
	must(t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		must(t, err)
		t.Logf("%s: %d bytes, from %.30q", filepath.Base(f), len(data), data)
	}
}

// allSources lists the sources of a host in an archive.
func allSources(t testing.TB, dir, host string) (paths []string) {
	t.Helper()
	all, err := sources.Archive(dir)
	must(t, err)
	for _, a := range all {
		if a.Host == host {
			paths = append(paths, a.Path)
		}
	}
	return paths
}
