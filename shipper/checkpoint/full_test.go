//go:build linux

package checkpoint_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

// smallDisk is a file system of a megabyte, and what fills it.
func smallDisk(t *testing.T) (dir string, fill func()) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func() {
		f, err := os.Create(ballast(dir))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, size := range []int{4096, 1} {
			for err = nil; err == nil; {
				_, err = f.Write(bytes.Repeat([]byte{1}, size))
			}
		}
	}
}

func ballast(dir string) string { return filepath.Join(dir, "ballast") }

func TestOpenOnAFullDisk(t *testing.T) {
	disk, fill := smallDisk(t)
	dir := filepath.Join(disk, "state")
	s := open(t, dir, "web1")
	writer, want := s.Writer(), []tail.Generation{generation("/a", 1, 10), generation("/b", 3, 7)}
	if err := s.Save(chain, want); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	fill()
	for range 2 {
		s = open(t, dir, "web1")
		if s.Writer() != writer {
			t.Errorf("the writer is %q, want %q", s.Writer(), writer)
		}
		if c, known := load(t, s); c != chain || !reflect.DeepEqual(known, want) {
			t.Errorf("got %v, %v", c, known)
		}
		if err := s.Save(chain, want[:1]); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a save on a full disk: %v", err)
		}
		closeStore(t, s)
	}
	if _, err := checkpoint.Open(dir, "web2", slog.New(slog.DiscardHandler)); !errors.Is(err, checkpoint.ErrOtherHost) {
		t.Errorf("got %v, want ErrOtherHost", err)
	}
	s = open(t, dir, "web1")
	if err := os.Remove(ballast(disk)); err != nil {
		t.Fatal(err)
	}
	want[0].Offset = 100
	for end := time.Now().Add(30 * time.Second); s.Save(chain, want[:1]) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there is room and nothing is saved")
		}
	}
	closeStore(t, s)
	s = open(t, dir, "web1")
	defer closeStore(t, s)
	if _, known := load(t, s); s.Writer() != writer || !reflect.DeepEqual(known, want) {
		t.Errorf("of %q: %v", s.Writer(), known)
	}
}

func TestANewStoreOnAFullDisk(t *testing.T) {
	disk, fill := smallDisk(t)
	fill()
	dir := filepath.Join(disk, "state")
	if _, err := checkpoint.Open(dir, "web1", slog.New(slog.DiscardHandler)); !errors.Is(err, checkpoint.ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if err := os.Remove(ballast(disk)); err != nil {
		t.Fatal(err)
	}
	closeStore(t, open(t, dir, "web1"))
}
