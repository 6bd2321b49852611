package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// disk is a small file system.
type disk struct {
	t   testing.TB
	dir string
}

// newDisk mounts one, or skips the test where that is not allowed.
func newDisk(t testing.TB, size string) *disk {
	t.Helper()
	d := &disk{t: t, dir: tempDir(t)}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a file system of %s cannot be mounted here: %v", size, err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(d.dir, syscall.MNT_DETACH)) })
	return d
}

// grow is what an operator does to a full disk.
func (d *disk) grow(size string) {
	d.t.Helper()
	must(d.t, syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, "size="+size))
}

// fill leaves no byte of it free.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(filepath.Join(d.dir, "ballast"))
	must(d.t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 16 {
		for {
			if _, err := f.Write(bytes.Repeat([]byte{1}, size)); err != nil {
				break
			}
		}
	}
}

func (d *disk) free() { must(d.t, os.Remove(filepath.Join(d.dir, "ballast"))) }

// The archive's disk is full, again and again, while the receiver is killed: nothing is lost, and all goes on by itself when there is room.
func TestChaosArchiveDiskFull(t *testing.T) {
	slow(t)
	r := random(t)
	d := newDisk(t, "6m")
	s := startSite(t, options{archive: filepath.Join(d.dir, "archive"), receiver: []string{"--compress", "none"}})
	src := s.newSource("app.log")
	full := func() bool { src.lines(2000); return s.receiver.logged("no space left on device") }
	until(t, "the disk is full", full)
	for size := 12; size <= 36; size += 12 {
		for range 3 {
			src.lines(1000)
			wait(r, time.Second)
			s.receiver.restart()
		}
		d.grow(fmt.Sprintf("%dm", size))
		src.lines(10000)
		wait(r, 2*time.Second)
	}
	d.grow("512m")
	s.settle(nil, src)
}

// The hub's disk is full: agents wait, the hub says so, and goes on when it is started with more room.
func TestChaosHubDiskFull(t *testing.T) {
	slow(t)
	d := newDisk(t, "4m")
	s := startSite(t, options{store: filepath.Join(d.dir, "store"), hub: []string{"--stream-size", "64MiB"}, receiver: []string{"--lookback", "24h"}, agent: []string{"--codec", "none"}})
	src := s.newSource("app.log")
	for range 30 {
		src.lines(2000)
	}
	err := s.hub.ends()
	t.Logf("the hub ended: %v", err)
	if err == nil {
		t.Error("the hub ended with status 0 on a full disk")
	}
	for range length(1) {
		s.hub.start()
		if err := s.hub.ends(); err == nil {
			t.Error("the hub ended with status 0 on a full disk")
		}
	}
	d.grow("512m")
	s.hub.start()
	src.lines(100)
	s.settle(nil, src)
}

// The agent's state cannot be written: positions come from the hub, and nothing is lost or doubled, by the process that runs or by those that are started then.
func TestChaosStateDiskFull(t *testing.T) {
	slow(t)
	d := newDisk(t, "2m")
	s := startSite(t, options{state: filepath.Join(d.dir, "state")})
	src := s.newSource("app.log")
	src.lines(100)
	s.arrived(src)
	d.fill()
	for range 5 {
		src.lines(1000)
		src.rename(3)
		s.arrived(src)
	}
	for range 3 {
		s.agent.restart()
		src.lines(1000)
		src.rename(3)
		s.arrived(src)
	}
	if !s.agent.logged("no room to write the checkpoint") {
		t.Error("an agent that starts without room for its state does not say so")
	}
	before := s.checkpointSum()
	d.free()
	until(t, "the checkpoint is written", func() bool { src.lines(1); return s.checkpointSum() != before })
	s.agent.restart()
	src.lines(100)
	s.settle(nil, src)
}

func (s *site) checkpointSum() string {
	data, err := os.ReadFile(filepath.Join(s.stateDir, "checkpoint.db"))
	must(s.t, err)
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// A new agent whose disk is full has no writer id yet: it says what to do, and begins when that is done.
func TestChaosStateDiskFullFromTheBeginning(t *testing.T) {
	slow(t)
	d := newDisk(t, "2m")
	d.fill()
	s := newSite(t, options{state: filepath.Join(d.dir, "state"), agent: []string{"--hold"}})
	s.hub.start().ready()
	s.receiver.start().ready()
	src := s.newSource("app.log")
	src.lines(100)
	s.agent.start()
	until(t, "the agent says what to do", func() bool { return s.agent.logged("free space on its disk") })
	s.agent.restart()
	until(t, "it says it again", func() bool { return s.agent.logged("cannot start yet") && s.agent.running() })
	d.free()
	s.arrived(src)
	s.settle(nil, src)
}
