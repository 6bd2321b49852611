package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/sources"
	"github.com/logdrive/logdrive/cmd/e2e/torture"
	"github.com/logdrive/logdrive/receiver/archive"
)

// Every way of writing and rotating a log goes through hub, receiver and agent as three processes: what can be had at all is in the archive,
// once, whole and in order, and the ledger has the exact range of what cannot. LOGDRIVE_TORTURE=full is the long form.
func TestTorture(t *testing.T) {
	slow(t)
	runs, lines := 1, 400
	if os.Getenv("LOGDRIVE_TORTURE") == "full" {
		runs, lines = 20, 6000
	}
	for _, scenario := range torture.Scenarios {
		t.Run(scenario.Name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, options{})
			s.hub.start().ready()
			s.receiver.start().ready()
			var all []*victim
			for range runs {
				t.Run("run", func(t *testing.T) {
					v := s.victim(t, scenario)
					v.torture(lines)
					all = append(all, v)
				})
			}
			s.receiver.stop()
			s.account(all)
			s.invariants()
			s.hub.stop()
		})
	}
}

// victim is a log that one scenario writes, with an agent of its own.
type victim struct {
	*site
	t        *testing.T
	scenario torture.Scenario
	dir      string
	path     string
	agent    *role
	process  *torture.Process
	written  torture.Written
	ended    bool // the writer has
}

func (s *site) victim(t *testing.T, scenario torture.Scenario) *victim {
	dir := filepath.Join(tempDir(t), scenario.Name)
	must(t, os.Mkdir(dir, 0o755))
	v := &victim{site: s, t: t, scenario: scenario, dir: dir, path: scenario.Source(dir)}
	if scenario.Name != "not_yet_existing" {
		must(t, os.MkdirAll(filepath.Dir(v.path), 0o755))
	}
	v.agent = s.agentOf(t, scenario.Name, "--http-listen", "127.0.0.1:0", v.path)
	if scenario.Unprivileged {
		v.agent.unprivileged(filepath.Dir(dir), dir)
	}
	return v
}

// torture runs the scenario until all has come that can.
func (v *victim) torture(lines int) {
	v.agent.start().ready()
	until(v.t, "the agent looks at its files", func() bool { return v.agent.logged("joined the chain") })
	p, err := v.scenario.Start(v.dir, lines)
	must(v.t, err)
	v.process = p
	must(v.t, p.Reader(v.agent.proc.PID()))
	defer func() {
		if !v.ended {
			p.Stop()
		}
	}()
	var came []byte
	last, growing := "", time.Now()
	for !v.ended || !v.complete(came) {
		v.obey()
		if !v.ended {
			v.written, v.ended, err = p.Ended()
			must(v.t, err)
		}
		if now := v.footprint(); now != last {
			last, growing = now, time.Now()
			came = v.readArchive(v.t, v.agent.name, v.path)
			must(v.t, p.Arrived(v.scenario.Last(came)))
		}
		if time.Since(growing) > patience/2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	v.agent.stop()
	report := v.scenario.Check(v.readArchive(v.t, v.agent.name, v.path), v.written.Lines)
	v.t.Log(report)
	if !v.ended || !report.Clean() || !v.scenario.Lossy && !report.Exact() {
		v.t.Errorf("writer ended: %v", v.ended)
		v.listArchive(v.t, v.agent.name, v.path)
	}
}

// footprint is another whenever the archive holds more of the log.
func (v *victim) footprint() (all string) {
	dir := filepath.Join(v.archiveDir, "hosts", v.agent.name, filepath.Dir(v.path))
	files, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		must(v.t, err)
	}
	for _, f := range files {
		if st, err := f.Info(); err == nil { // else it was renamed meanwhile
			all += fmt.Sprintln(f.Name(), st.Size())
		}
	}
	return all
}

// obey kills or starts the agent as the scenario wants it.
func (v *victim) obey() {
	v.agent.alive()
	wanted := v.process.WantsReader()
	switch {
	case wanted && !v.agent.running():
		v.agent.start().ready()
		must(v.t, v.process.Up(true))
	case !wanted && v.agent.running():
		v.agent.kill()
		must(v.t, v.process.Up(false))
	case wanted && v.scenario.Counts:
		must(v.t, v.process.Behind(v.agent.behind()))
	}
}

var bytesBehind = regexp.MustCompile(`(?m)^logdrive_agent_bytes_behind (\S+)$`)

// behind is how many bytes an agent that serves HTTP has seen that the hub has not acknowledged.
func (r *role) behind() int64 {
	r.t.Helper()
	_, body := get(r.t, r.ready().HTTP+"/metrics")
	m := bytesBehind.FindStringSubmatch(body)
	if m == nil {
		return -1 // it has not looked yet
	}
	n, err := strconv.ParseFloat(m[1], 64)
	must(r.t, err)
	return int64(n)
}

// complete says that nothing more can come. Where lines are lost, the last one tells.
func (v *victim) complete(came []byte) bool {
	if v.scenario.Lossy {
		return v.scenario.Last(came) == v.written.Lines
	}
	return bytes.Count(came, []byte("\n")) >= v.written.Lines
}

// account compares what archive and ledger hold with every byte of every file that was written. The ledger holds nothing else.
func (s *site) account(all []*victim) {
	s.t.Helper()
	archive := openIndex(s.t, s.archiveDir)
	defer archive.Close()
	gaps := map[string][]gap{}
	for _, g := range readEntries(s.t, archive) {
		gaps[g.source] = append(gaps[g.source], g)
	}
	for _, v := range all {
		account := v.scenario.Account(v.written, generations(s.t, archive, v.agent.name, v.path, gaps[v.path]))
		s.t.Logf("%s: %s", v.scenario.Name, account)
		if len(account.Faults) > 0 || !v.scenario.Lossy && len(gaps[v.path]) > 0 {
			s.t.Errorf("%s: %v", v.path, gaps[v.path])
		}
		delete(gaps, v.path)
	}
	for source, left := range gaps {
		s.t.Errorf("ledger of %s: %v", source, left)
	}
}

// generations is what archive and ledger say of each byte of a source.
func generations(t testing.TB, a *archive.Reader, host, path string, gaps []gap) (all []torture.Generation) {
	t.Helper()
	for s, err := range a.Sources(host) {
		must(t, err)
		if s.Name != path {
			continue
		}
		for _, g := range s.Generations {
			one := torture.Generation{Number: g.Number}
			for _, segment := range g.Segments {
				data := readSegment(t, a, segment)
				one.Runs = append(one.Runs, torture.Run{From: segment.Start, To: segment.Start + int64(len(data)), Data: data})
			}
			for _, gap := range gaps {
				if gap.generation == g.Number {
					one.Runs = append(one.Runs, torture.Run{From: gap.from, To: gap.to, Reason: gap.reason})
				}
			}
			all = append(all, one)
		}
	}
	return all
}

func readSegment(t testing.TB, a *archive.Reader, segment archive.Segment) []byte {
	t.Helper()
	r, err := a.OpenSegment(segment)
	must(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(t, err)
	return data
}

// agentOf makes another agent of the site; its host is its name.
func (s *site) agentOf(t testing.TB, name string, paths ...string) *role {
	t.Helper()
	name = strings.ReplaceAll(name, "_", "-")
	dir := tempDir(t)
	return newRole(t, dir, "agent", append([]string{
		"--hub", s.leaf.Leaf(), "--secret", s.secret, "--host", name, "--state", filepath.Join(dir, "state"),
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
