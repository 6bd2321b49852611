package e2e_test

import (
	"os"
	"testing"
	"time"
)

// agent --once ships what is there, an unterminated last line too, and exits 0 when all is acknowledged.
func TestAgentOnce(t *testing.T) {
	s := newSite(t, options{agent: []string{"--once"}})
	s.hub.start().ready()
	s.receiver.start().ready()
	src := s.newSource("app.log")
	src.lines(5000)
	src.rename(10)
	src.raw([]byte("no newline"))
	for range 3 {
		s.agent.start()
		must(t, s.agent.ends())
		s.arrived(src)
		src.raw([]byte(" yet, and more\nand a line\nand"))
	}
	s.agent.start()
	must(t, s.agent.ends())
	s.arrived(src)
	s.receiver.stop()
	s.equal(src)
	s.ledger(nil)
	s.invariants()
}

// up --once ends when all is durable in the archive; killed at any moment and run again, it neither loses nor doubles.
func TestChaosUpOnce(t *testing.T) {
	slow(t)
	r := random(t)
	s := newSite(t, options{})
	up := newRole(t, s.dir, "up", "--archive", s.archiveDir, "--state", s.stateDir, "--host", host, "--once", s.path("logs"))
	src := s.newSource("app.log")
	for range length(3) {
		src.lines(20000)
		up.start()
		wait(r, time.Second)
		_ = up.proc.Kill()
		up.proc = nil
		src.rename(0)
		src.raw([]byte("no newline"))
		up.start()
		must(t, up.ends())
		s.equal(src)
		src.raw([]byte(" yet\n"))
	}
	up.start()
	must(t, up.ends())
	s.equal(src)
	s.ledger(nil)
	if _, err := os.Stat(s.archiveDir); err != nil {
		t.Error(err)
	}
}
