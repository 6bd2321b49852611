package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

// command runs the binary to its end in dir and gives what it said and its exit status.
func command(t testing.TB, dir, stdin string, args ...string) (said string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("logdrive %s does not end; it said\n%s", strings.Join(args, " "), out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// What cannot be meant is refused at once: exit status 1 and one line that says what to do.
func TestCLIFaults(t *testing.T) {
	dir := tempDir(t)
	for name, text := range map[string]string{"a.log": "a\n", "secret": "s\n", "empty": " \n", "bad.yml": "hots: a\n"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	port := taken.Addr().String()
	agent := "agent --hub nats-leaf://127.0.0.1:1 --secret secret "
	for args, says := range map[string]string{
		"ship a.log":            `unknown command "ship": use up, agent, receiver, hub, version`,
		"version now":           `version takes flags only: what is "now"?`,
		"hub here":              `hub takes flags only: what is "here"?`,
		"up":                    "no PATH is given",
		"up --onec a.log":       "flag provided but not defined: -onec",
		"up a.log --once":       "--once stands behind a path: put flags before the paths",
		"up --config none a":    "read config: open none: no such file",
		"up --config bad.yml a": `config bad.yml:1: unknown key "hots"; did you mean "host"?`,
		"up --codec lz4 a.log":  `unknown codec "lz4": use zstd, s2 or none`,
		"up --stream-size 1 a":  "stream size 1 bytes: 1048576 to",
		"up --stream-size x a":  `--stream-size "x": write a size such as 256MiB`,
		"up --partitions x a":   `invalid value "x" for flag -partitions`,
		"up --partitions -1 a":  "-1 partitions: 1 to 256 are possible",
		"up --lookback x a":     `invalid value "x" for flag -lookback`,
		"up --compress rar a":   `compression "rar": use gzip, zstd or none`,
		"up --segment-size 0 a": "segment size 0: at least 4096",
		"up --log-level x a":    `--log-level "x": use debug, info, warn or error`,
		"up --log-format x a":   `--log-format "x": use text, json or auto`,
		"up --http-listen x a":  "--http-listen x: listen tcp: address x: missing port",
		"up --host a/b a.log":   `invalid host name "a/b": byte 1 is '/'`,
		"up --host .. a.log":    `invalid host name "..": two dots in a row; choose one with --host`,

		agent + "--stdin app.1":       `--stdin "app.1": the name must not be that of a rotated file`,
		agent + "--stdin app.1234567": `--stdin "app.1234567": the name must not be that of a rotated file`,
		agent + "--stdin app.old":     `--stdin "app.old": the name must not be that of a rotated file`,

		"hub --listen 0.0.0.0:0":                                   "is no loopback address: without credentials a hub serves its own machine only",
		"hub --store s --leaf-listen 127.0.0.1:0 --listen " + port: "address already in use",
		"hub --store s --listen 127.0.0.1:0 --leaf-listen " + port: "address already in use",
		"hub --http-listen " + port:                                "address already in use",
		"hub --store a.log":                                        "make hub store: mkdir",
		"receiver --hub nats://127.0.0.1:1":                        "--secret FILE is missing",
		"receiver --hub nats-leaf://127.0.0.1:1 --secret secret":   "is for agents: receivers need nats://host:port",
		"receiver --hub x --secret secret":                         `hub address "x" is not nats://host:port`,
		"agent a.log":                                              "--secret FILE is missing",
		"agent --secret secret a.log":                              "--hub nats-leaf://host:port is missing",
		"agent --secret none --hub nats-leaf://127.0.0.1:1 a":      "read --secret: open none: no such file",
		"agent --secret empty --hub nats-leaf://127.0.0.1:1 a":     "empty is empty",
		"agent --secret secret --hub nats://127.0.0.1:1 a":         "is for receivers: agents need nats-leaf://host:port",
		"agent --secret secret --hub 127.0.0.1 a":                  "is not nats-leaf://host:port",
		agent + "--host a --state a --stdin x/y":                   `--stdin "x/y": the name must be that of a file`,
		agent + "--host a --state b [":                             "not a valid glob",
		agent + "--host a --state a.log x":                         "make state directory",
	} {
		t.Run(args, func(t *testing.T) {
			said, status := command(t, dir, "", strings.Fields(args)...)
			lines := strings.Split(strings.TrimSpace(said), "\n")
			if last := lines[len(lines)-1]; status != 1 || !strings.HasPrefix(last, "logdrive: ") || !strings.Contains(last, says) {
				t.Errorf("exit status %d, it said\n%s\nwant 1 and %q", status, said, says)
			}
		})
	}
}

func TestCLIHelp(t *testing.T) {
	for args, wants := range map[string][]string{
		"":                {"up ", "agent ", "receiver ", "hub ", "version "},
		"--help":          {"up ", "agent "},
		"up --help":       {"PATH...", "--archive", "--once", "LOGDRIVE_ARCHIVE"},
		"agent --help":    {"PATH...", "--hub", "--hold", "--stdin", "--exclude"},
		"receiver --help": {"--lookback", "--segment-size", "--hub", "24h0m0s"},
		"hub --help":      {"--leaf-listen", "127.0.0.1:7422", "--partitions"},
		"version":         {"logdrive ", "protocol 1", "go1."},
	} {
		said, status := command(t, "", "", strings.Fields(args)...)
		for _, want := range wants {
			if status != 0 || !strings.Contains(said, want) {
				t.Errorf("logdrive %s: exit status %d, want %q in\n%s", args, status, want, said)
			}
		}
	}
}

// holds fails the test unless the archive of dir, whose receiver has ended, holds these bytes of a source.
func holds(t testing.TB, dir, host, path, want string) {
	t.Helper()
	all := pieces(t, filepath.Join(dir, "archive"), &source{host: host, path: path})
	slices.SortFunc(all, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Start, b.Start))
	})
	var got []byte
	for _, p := range all {
		got = append(got, p.bytes...)
	}
	if string(got) != want {
		t.Errorf("archive holds %d bytes of %q, want %d: %.80q, want %.80q", len(got), path, len(want), got, want)
	}
}

// sourcesIn lists the sources of the archive of dir, below prefix.
func sourcesIn(t testing.TB, dir, host, prefix string) []string {
	t.Helper()
	var names []string
	for _, path := range allSources(t, filepath.Join(dir, "archive"), host) {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			names = append(names, name)
		}
	}
	return names
}

// once ships with `logdrive up --once` in dir, which must succeed.
func once(t testing.TB, dir string, args ...string) (said string) {
	t.Helper()
	said, status := command(t, dir, "", append([]string{"up", "--once", "--host", "web1"}, args...)...)
	if status != 0 || strings.Contains(said, "panic") {
		t.Fatalf("exit status %d, it said\n%s", status, said)
	}
	return said
}

// writeAll makes files with their directories.
func writeAll(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

func TestCLIGlobsAndExcludes(t *testing.T) {
	dir := tempDir(t)
	writeAll(t, dir, map[string]string{
		"log/a.log": "a\n", "log/b/c/d.log": "d\n", "log/e.txt": "e\n", "log/skip/f.log": "f\n", "log/g.old": "g\n", "log/h.bak": "h\n",
	})
	once(t, dir, "--exclude", "*.{old,x}", "--exclude", "**/*.bak", "--exclude", filepath.Join(dir, "log/skip"), "log/**/*.log", filepath.Join(dir, "log/*.[oe]*"), "log/*.bak")
	if got := fmt.Sprint(sourcesIn(t, dir, "web1", dir+"/log/")); got != "[a.log b/c/d.log]" {
		t.Errorf("archived: %s", got)
	}
	once(t, dir, "log/e.txt")
	holds(t, dir, "web1", dir+"/log/e.txt", "e\n")
	holds(t, dir, "web1", dir+"/log/b/c/d.log", "d\n")
}

// The state stays: what was shipped is not shipped again, and what grew is continued.
func TestCLIOnceAgain(t *testing.T) {
	dir := tempDir(t)
	log := filepath.Join(dir, "a.log")
	for _, text := range []string{"one\n", "one\n", "one\ntwo\nunterminated", "one\ntwo\nunterminated line\nthree\n"} {
		must(t, os.WriteFile(log, []byte(text), 0o644))
		once(t, dir, "a.log")
		holds(t, dir, "web1", log, text)
	}
}

func TestCLIEnvironmentAndConfig(t *testing.T) {
	dir := tempDir(t)
	writeAll(t, dir, map[string]string{"a.log": "a\n", "up.yml": "archive: archive\nhost: from-file\nonce: true\npaths: [a.log]\nlog-file: own.log\n"})
	t.Setenv("LOGDRIVE_HOST", "from-env")
	t.Setenv("LOGDRIVE_CONFIG", "up.yml")
	if said, status := command(t, dir, "", "up"); status != 0 || said != "" {
		t.Fatalf("exit status %d, it said\n%s", status, said)
	}
	holds(t, dir, "from-env", dir+"/a.log", "a\n")
	if data, err := os.ReadFile(filepath.Join(dir, "own.log")); err != nil || !bytes.Contains(data, []byte(`"msg":"joined the chain"`)) {
		t.Errorf("own log: %v\n%s", err, data)
	}
}

func TestCLIStdin(t *testing.T) {
	slow(t)
	s := newSite(t, options{})
	s.hub.start().ready()
	s.receiver.start().ready()
	args := []string{"agent", "--hub", s.leafURL, "--secret", s.secret, "--host", "pipe", "--state", s.path("pipe"), "--once", "--stdin", "app"}
	spool := s.path("pipe/stdin/app")
	whole := ""
	for _, text := range []string{"one\ntwo\n", strings.Repeat("many lines\n", 100_000), "the last one without newline"} {
		if said, status := command(t, s.dir, text, args...); status != 0 {
			t.Fatalf("exit status %d, it said\n%s", status, said)
		}
		whole += text
		until(t, "what was piped in is archived", func() bool { return string(s.readArchive(t, "pipe", spool)) == whole })
	}
	s.receiver.stop()
	s.hub.stop()
}

// Rotation deletes while the agent is down: with --hold nothing is lost, and without it the ledger names what is.
func TestCLIHold(t *testing.T) {
	slow(t)
	s := startSite(t, options{agent: []string{"--hold"}})
	src := s.newSource("app.log")
	src.lines(100)
	s.arrived(src)
	s.hub.freeze()
	src.lines(100)
	inode := filepath.Join(s.stateDir, "hold")
	until(t, "the log is held", func() bool {
		held, err := os.ReadDir(inode)
		return err == nil && len(held) > 0
	})
	s.agent.kill()
	src.lines(100)
	src.remove()
	src.lines(50)
	s.hub.thaw()
	s.agent.start().ready()
	s.settle(nil, src)
}

func TestCLIEndpoints(t *testing.T) {
	slow(t)
	listen := []string{"--http-listen", "127.0.0.1:0"}
	s := startSite(t, options{hub: listen, receiver: listen, agent: listen})
	src := s.newSource("app.log")
	src.lines(1000)
	s.arrived(src)
	for r, metric := range map[*role]string{s.hub: "go_goroutines", s.receiver: "logdrive_archive_commit_seconds_count", s.agent: "logdrive_publish_seconds_count"} {
		at := r.ready()
		for path, want := range map[string]string{"/healthz": "^alive\n$", "/readyz": "^ready\n$", "/metrics": "(?m)^" + metric} {
			until(t, r.name+path, func() bool {
				status, body := get(t, at.HTTP+path)
				return status == http.StatusOK && regexp.MustCompile(want).MatchString(body)
			})
		}
	}
	at := s.agent.ready()
	s.hub.kill()
	src.lines(10)
	until(t, "the agent is red while the hub is away", func() bool {
		status, _ := get(t, at.HTTP+"/readyz")
		return status == http.StatusServiceUnavailable
	})
	s.hub.start().ready()
	until(t, "and green again", func() bool {
		status, _ := get(t, at.HTTP+"/readyz")
		return status == http.StatusOK
	})
	s.settle(nil, src)
}

func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	must(t, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer.StatusCode, string(data)
}

// The ports file is there once everything is, and tells only of what is served.
func TestCLIPortsFile(t *testing.T) {
	slow(t)
	s := startSite(t, options{})
	for r, want := range map[*role]fleet.Ports{
		s.hub:      {Client: s.clientURL, Leaf: s.leafURL},
		s.receiver: {},
		s.agent:    {},
	} {
		want.PID = r.proc.PID()
		if got := r.ready(); got != want {
			t.Errorf("%s: %+v, want %+v", r.name, got, want)
		}
	}
	s.settle(nil)
}
