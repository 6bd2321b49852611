package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/checkpoint"
)

// A directory means what is readable text in it; the rest neither disturbs nor ends anything.
func TestInputOddFilesInADirectory(t *testing.T) {
	dir := tempDir(t)
	log := filepath.Join(dir, "log")
	binary := string([]byte{0, 1, 2, 0xff, 0xfe, 0}) + strings.Repeat("\x00\x80", 1000)
	writeAll(t, dir, map[string]string{
		"log/a.log": "a\n", "log/empty.log": "", "log/core.bin": binary, "log/old.gz": "\x1f\x8b\x08\x00rest", "log/sub/b.log": "b\n", "target/c.log": "c\n",
	})
	must(t, syscall.Mkfifo(filepath.Join(log, "fifo"), 0o644))
	must(t, os.Symlink("nowhere", filepath.Join(log, "dangling")))
	must(t, os.Symlink("loop", filepath.Join(log, "loop")))
	must(t, os.Symlink("../target/c.log", filepath.Join(log, "link.log")))
	must(t, os.Symlink("/dev/zero", filepath.Join(log, "zero")))
	socket, err := net.Listen("unix", filepath.Join(log, "socket"))
	must(t, err)
	defer socket.Close()
	once(t, dir, "log")
	got := sourcesIn(t, dir, "web1", log+"/")
	got = slices.DeleteFunc(got, func(name string) bool { return name == "empty.log" })
	if fmt.Sprint(got) != "[a.log link.log sub/b.log]" {
		t.Errorf("archived: %q", got)
	}
	holds(t, dir, "web1", log+"/link.log", "c\n")
}

// Whoever names a file means it, text or not; what is no file is said so and passed over.
func TestInputNamed(t *testing.T) {
	dir := tempDir(t)
	binary := string([]byte{0, 1, 2, 0xff, 0xfe, 0}) + strings.Repeat("\x00\x80\r", 100_000)
	writeAll(t, dir, map[string]string{"a.log": "a\n", "core.bin": binary, "sub/b.log": "b\n"})
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	socket, err := net.Listen("unix", filepath.Join(dir, "socket"))
	must(t, err)
	defer socket.Close()
	said := once(t, dir, "a.log", "core.bin", "sub", "missing.log", "missing/too.log", "a.log/below", "fifo", "socket", "/dev/null")
	holds(t, dir, "web1", dir+"/a.log", "a\n")
	holds(t, dir, "web1", dir+"/sub/b.log", "b\n")
	holds(t, dir, "web1", dir+"/core.bin", binary)
	for _, want := range []string{"missing.log: no such file", "too.log: no such file", "below: not a directory", "fifo: not a regular file", "socket: not a regular file", "/dev/null: not a regular file"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q but\n%s", want, said)
		}
	}
}

// What may not be read is said, tried again, and keeps nothing else from being shipped.
func TestInputUnreadable(t *testing.T) {
	slow(t)
	s := newSite(t, options{paths: []string{}})
	s.hub.start().ready()
	s.receiver.start().ready()
	logs := s.path("logs")
	must(t, os.Chmod(s.dir, 0o755))
	writeAll(t, logs, map[string]string{"open.log": "open\n", "closed.log": "closed\n", "closed/a.log": "a\n"})
	must(t, os.Chmod(filepath.Join(logs, "closed.log"), 0))
	must(t, os.Chmod(filepath.Join(logs, "closed"), 0))
	agent := s.agentOf(t, "reader", filepath.Join(logs, "*.log"), filepath.Join(logs, "closed", "a.log"))
	agent.unprivileged(logs)
	agent.start().ready()
	archived := func(name, want string) {
		t.Helper()
		until(t, name+" is archived", func() bool { return string(s.readArchive(t, "reader", filepath.Join(logs, name))) == want })
	}
	archived("open.log", "open\n")
	for _, want := range []string{"closed.log: permission denied", "a.log: permission denied"} {
		until(t, want, func() bool { return agent.logged(want) })
	}
	must(t, os.Chmod(filepath.Join(logs, "closed.log"), 0o644))
	must(t, os.Chmod(filepath.Join(logs, "closed"), 0o755))
	archived("closed.log", "closed\n")
	archived("closed/a.log", "a\n")
	agent.stop()
	s.receiver.stop()
	s.ledger(nil)
	s.hub.stop()
}

// One line of 100 MiB is carried in pieces and is one line in the archive.
func TestInputLongLine(t *testing.T) {
	slow(t)
	dir := tempDir(t)
	long := make([]byte, 100<<20)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range long {
		long[i] = byte('!' + r.Uint32()%64)
	}
	whole := slices.Concat([]byte("before\n"), long, []byte("\nafter\n"))
	must(t, os.WriteFile(filepath.Join(dir, "a.log"), whole, 0o644))
	once(t, dir, "a.log")
	s := &site{archiveDir: filepath.Join(dir, "archive")}
	if got := s.readArchive(t, "web1", dir+"/a.log"); !bytes.Equal(got, whole) {
		t.Errorf("archive holds %d bytes, source %d; equal: false", len(got), len(whole))
	}
}

// Names of any bytes stay apart, and none leads out of the archive.
func TestInputNames(t *testing.T) {
	dir := tempDir(t)
	names := []string{
		"plain", "with space", "new\nline", "tab\t", "50%", "50%25", "%", "%%", "a%00000001-000000000000000000", "a", "\xff\xfe", "ümläut", "..data", "...", "-dash", "back\\slash",
		"a:b", "star*", "brackets[1]", "{x,y}", "'quoted'", strings.Repeat("n", 255), strings.Repeat("%", 255), "deep/" + strings.Repeat("d/", 100) + "x", "name%@", "name%=", "name",
	}
	long := dir
	for len(long) < 3800 { // a path of nearly 4 KiB
		long += "/" + strings.Repeat("l", 200)
	}
	files := map[string]string{}
	for i, name := range names {
		files["log/"+name] = fmt.Sprintf("%d\n", i)
	}
	writeAll(t, dir, files)
	once(t, dir, "log")
	for name, text := range files {
		holds(t, dir, "web1", dir+"/"+name, text)
	}
	outside, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(outside) != 3 {
		t.Errorf("beside log, state and archive there is %q", outside)
	}
	must(t, os.MkdirAll(long, 0o755))
	must(t, os.WriteFile(long+"/x.log", []byte("far\n"), 0o644))
	once(t, dir, long+"/x.log")
	holds(t, dir, "web1", long+"/x.log", "far\n")
}

// A path that is not in its shortest form is the same source.
func TestInputPathWithDots(t *testing.T) {
	dir := tempDir(t)
	writeAll(t, dir, map[string]string{"log/a.log": "a\n", "log/sub/b.log": "b\n"})
	once(t, dir, "log/sub/../a.log", "./log//a.log", "log/../log/sub/*.log")
	if got := fmt.Sprint(sourcesIn(t, dir, "web1", dir+"/")); got != "[log/a.log log/sub/b.log]" {
		t.Errorf("archived: %s", got)
	}
	holds(t, dir, "web1", dir+"/log/a.log", "a\n")
}

// A source was a file and is a directory now, and the other way round: both are archived.
func TestInputFileBecomesDirectory(t *testing.T) {
	dir := tempDir(t)
	writeAll(t, dir, map[string]string{"log/x": "file\n", "log/y/z": "below\n"})
	once(t, dir, "log")
	must(t, os.Remove(filepath.Join(dir, "log/x")))
	must(t, os.RemoveAll(filepath.Join(dir, "log/y")))
	writeAll(t, dir, map[string]string{"log/x/in": "in\n", "log/y": "now a file\n"})
	once(t, dir, "log")
	for path, want := range map[string]string{"x": "file\n", "x/in": "in\n", "y/z": "below\n", "y": "now a file\n"} {
		holds(t, dir, "web1", filepath.Join(dir, "log", path), want)
	}
}

// A checkpoint damaged in any way is put aside, said so, and neither loses nor doubles a byte: the hub knows.
func TestInputDamagedCheckpoint(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{})
	src := s.newSource("app.log")
	path := filepath.Join(s.stateDir, checkpoint.FileName)
	told := 0
	for name, harm := range damages(r) {
		src.lines(200)
		s.arrived(src)
		s.agent.stop()
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, harm(data), 0o600))
		src.lines(20)
		src.rename(5)
		src.lines(20)
		s.agent.start().ready()
		s.arrived(src)
		aside, err := filepath.Glob(path + ".damaged-*")
		must(t, err)
		before := told
		told = bytes.Count(s.agent.words(), []byte("checkpoint is damaged"))
		if name != "flipped bits" && len(aside) == 0 || told-before != len(aside) {
			t.Errorf("%s: put aside %q, said so %d times", name, aside, told-before)
		}
		for _, a := range aside {
			must(t, os.Remove(a))
		}
	}
	s.settle(nil, src)
}

// damages are ways in which a file goes bad.
func damages(r *rand.Rand) map[string]func([]byte) []byte {
	return map[string]func([]byte) []byte{
		"cut":        func(p []byte) []byte { return p[:4096+r.IntN(4096)] },
		"random":     func(p []byte) []byte { rand.NewChaCha8([32]byte{byte(r.Uint32())}).Read(p); return p },
		"zeroed":     func(p []byte) []byte { clear(p); return p },
		"other text": func([]byte) []byte { return bytes.Repeat([]byte("no database\n"), 2000) },
		"flipped bits": func(p []byte) []byte {
			for range 50 {
				p[r.IntN(len(p))] ^= 1 << r.IntN(8)
			}
			return p
		},
	}
}

// A receiver that finds the index of its archive damaged says what is wrong and what to do, and never breaks down. It is tried on copies: a bit that
// flipped within a number can go unseen, and files are cut to what the index says.
func TestInputDamagedIndex(t *testing.T) {
	slow(t)
	r := random(t)
	s := startSite(t, options{})
	src := s.newSource("app.log")
	for range 20 {
		src.lines(50)
		src.rename(0)
	}
	s.arrived(src)
	s.agent.stop()
	s.receiver.stop()
	whole, err := os.ReadFile(filepath.Join(s.archiveDir, "index.db"))
	must(t, err)
	for range 3 {
		for name, harm := range damages(r) {
			archive := filepath.Join(tempDir(t), "archive")
			must(t, os.CopyFS(archive, os.DirFS(s.archiveDir)))
			must(t, os.WriteFile(filepath.Join(archive, "index.db"), harm(bytes.Clone(whole)), 0o600))
			said, status := s.receiverTries(name, archive)
			if strings.Contains(said, "goroutine ") || strings.Contains(said, "fatal error") {
				t.Fatalf("%s: the receiver broke down:\n%s", name, said)
			}
			if status == 1 && !strings.Contains(said, "index") {
				t.Errorf("%s: it does not say what is wrong:\n%s", name, said)
			}
			if status == 0 && name != "flipped bits" && !strings.Contains(said, "index") {
				t.Errorf("%s: it was taken for whole:\n%s", name, said)
			}
		}
	}
	s.receiver.start()
	s.agent.start()
	s.settle(nil, src)
}

// receiverTries starts a receiver on an archive. One that is ready is stopped; it gives what was said and the exit status.
func (s *site) receiverTries(name, archive string) (said string, status int) {
	s.t.Helper()
	try := newRole(s.t, tempDir(s.t), "receiver", append(slices.Clone(s.receiver.args[3:]), "--archive", archive)...).as("receiver with index: " + name)
	try.start()
	until(s.t, "the receiver is ready or ends", func() bool {
		select {
		case <-try.proc.Done():
			return true
		default:
			return try.logged("owns partition")
		}
	})
	if err := syscall.Kill(try.proc.PID(), syscall.SIGTERM); !errors.Is(err, syscall.ESRCH) {
		must(s.t, err)
	}
	if err := try.ends(); err != nil {
		status = 1
	}
	return string(try.words()), status
}

// Two of what there may be one of: the second ends at once with a clear message, and the first goes on.
func TestInputTwice(t *testing.T) {
	slow(t)
	s := startSite(t, options{})
	src := s.newSource("app.log")
	src.lines(100)
	s.arrived(src)
	secret := s.secret
	agent := []string{"agent", "--hub", s.leafURL, "--secret", secret, "--once"}
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"hub on a store", []string{"hub", "--store", s.storeDir, "--listen", "127.0.0.1:0", "--leaf-listen", "127.0.0.1:0"}, "is in use by another process"},
		{"receiver on an archive", []string{"receiver", "--hub", s.clientURL, "--secret", secret, "--archive", s.archiveDir}, "archive is in use"},
		{"agent on a state directory", append(agent, "--host", host, "--state", s.stateDir, src.path), "the state directory is in use by another logdrive agent"},
		{"agent of a host", append(agent, "--host", host, "--state", s.path("other"), src.path), "another agent ships this host"},
		{"state of another host", append(agent, "--host", "web2", "--state", s.path("other"), src.path), "the state directory belongs to another host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, status := command(t, s.dir, "", tt.args...)
			if status != 1 || !strings.Contains(said, tt.says) {
				t.Errorf("exit status %d, want 1 and %q; it said\n%s", status, tt.says, said)
			}
		})
	}
	src.lines(100)
	s.settle(nil, src)
}

// A hub that is not there, is something else or does not know the secret: the agent says why, waits, and ships once it is put right.
func TestInputWrongHub(t *testing.T) {
	slow(t)
	s := newSite(t, options{})
	s.hub.start().ready()
	wrong := s.path("wrong")
	must(t, os.WriteFile(wrong, []byte("guess\n"), 0o600))
	secret := s.secret
	client := strings.TrimPrefix(s.clientURL, "nats://")
	for _, tt := range []struct{ name, hub, secret, says string }{
		{"closed port", "nats-leaf://" + clustertest.FreeAddress(t), secret, "connection refused"},
		{"client port", "nats-leaf://" + client, secret, "leaf listener"},
		{"wrong secret", s.leafURL, wrong, "secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newRole(t, tempDir(t), "agent", "--hub", tt.hub, "--secret", tt.secret, "--host", "lost", "--state", s.path("lost"), s.path("logs")).as("agent")
			a.start()
			until(t, "it says why", func() bool { a.alive(); return a.logged(tt.says) })
			a.stop()
		})
	}
	said, status := command(t, s.dir, "", "receiver", "--hub", s.clientURL, "--secret", wrong, "--archive", s.archiveDir)
	if status != 1 || !strings.Contains(said, "it refuses the secret: use the one in <store>/secret") {
		t.Errorf("receiver: exit status %d; it said\n%s", status, said)
	}
	said, status = command(t, s.dir, "", "receiver", "--hub", "nats://"+strings.TrimPrefix(s.leafURL, "nats-leaf://"), "--secret", secret, "--archive", s.archiveDir)
	if status != 1 || !strings.Contains(said, "leaf") && !strings.Contains(said, "agents") {
		t.Errorf("receiver at the leaf listener: exit status %d; it said\n%s", status, said)
	}
	s.receiver.start().ready()
	s.agent.start().ready()
	src := s.newSource("app.log")
	src.lines(10)
	s.settle(nil, src)
}

// An agent of another protocol version is refused in words that say who is to be upgraded.
func TestInputOtherVersion(t *testing.T) {
	slow(t)
	s := newSite(t, options{})
	s.hub.start().ready()
	v := s.view()
	for version, says := range map[int]string{wire.Version + 1: "upgrade the hub", wire.Version - 1: "upgrade the agent"} {
		question, err := wire.Hello{Version: version, Writer: "w", Session: "s"}.Encode()
		must(t, err)
		answer, err := v.nc.RequestWithContext(v.ctx, wire.HelloSubject("web9"), question)
		must(t, err)
		w, err := wire.DecodeWelcome(answer.Data)
		must(t, err)
		if !strings.Contains(w.Refusal, says) || w.Table != nil {
			t.Errorf("version %d: %+v, want a refusal that says %q", version, w, says)
		}
	}
	s.hub.stop()
}

// A directory that may not be written ends the process with its name.
func TestInputUnwritable(t *testing.T) {
	slow(t)
	dir := tempDir(t)
	must(t, os.Chmod(dir, 0o755))
	closed := filepath.Join(dir, "closed")
	must(t, os.Mkdir(closed, 0o555))
	for _, args := range [][]string{
		{"hub", "--store", closed, "--listen", "127.0.0.1:0", "--leaf-listen", "127.0.0.1:0"},
		{"receiver", "--store", filepath.Join(dir, "own"), "--listen", "127.0.0.1:0", "--leaf-listen", "127.0.0.1:0", "--archive", closed},
		{"up", "--state", closed, "--archive", filepath.Join(dir, "own"), "x.log"},
	} {
		own := filepath.Join(dir, "own")
		must(t, os.RemoveAll(own))
		must(t, os.Mkdir(own, 0o777))
		must(t, os.Chmod(own, 0o777))
		r := newRole(t, tempDir(t), args[0], args[1:]...)
		r.unprivileged(dir)
		r.start()
		if err := r.ends(); err == nil || !r.logged(closed) || !r.logged("permission denied") {
			t.Errorf("logdrive %s: %v", strings.Join(args, " "), err)
		}
	}
}
