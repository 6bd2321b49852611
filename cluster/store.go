package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/logdrive/logdrive/cluster/wire"
)

// store is a hub node's directory: its lock, name, secret and layout; the server keeps its streams in the directory jetstream beside them.
type store struct {
	dir  string
	lock *os.File
}

// openStore makes the directory and takes its lock. Two servers on one set of stream files would destroy them.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make hub store: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open hub store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("hub store %s is in use by another process: stop that one or name another directory", dir)
		}
		return nil, fmt.Errorf("lock hub store %s: %w", path, err)
	}
	return &store{dir: dir, lock: f}, nil
}

// close gives up the lock.
func (s *store) close() error { return s.lock.Close() }

// word reads the one word in a file of the store, and at the first time writes the given one there.
func (s *store) word(name, first string) (string, error) {
	path := filepath.Join(s.dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return first, writeFile(path, []byte(first+"\n"))
	}
	if err != nil {
		return "", fmt.Errorf("read %s of hub store: %w", name, err)
	}
	word := strings.TrimSpace(string(data))
	if word == "" {
		return "", fmt.Errorf("read %s of hub store: %s is empty", name, path)
	}
	return word, nil
}

// Files of a store, beside name, secret and lock.
const (
	layoutFile   = "layout.json"
	foundingFile = "founding"  // is there from before the first stream is made until the last one is
	streamsDir   = "jetstream" // the server's own
)

// layout reads the layout this store was founded with, or begins the founding with the given one. It stands here and in the bucket: the server needs
// the sizes before it can read a bucket.
//
// A founding that was interrupted begins anew, without what it had made: the server takes over a stream that was half made, but does not
// complete its files, and would forget it at its next start. No batch can be lost, since subjects are mapped only after the founding.
func (s *store) layout(first wire.Layout) (l wire.Layout, founding bool, err error) {
	path, marker, streams := filepath.Join(s.dir, layoutFile), filepath.Join(s.dir, foundingFile), filepath.Join(s.dir, streamsDir)
	switch {
	case exists(marker):
		if err := os.RemoveAll(streams); err != nil {
			return wire.Layout{}, false, fmt.Errorf("begin founding anew: %w", err)
		}
		return first, true, writeLayout(path, first)
	case exists(path):
		l, err := readLayout(path)
		return l, false, err
	case exists(streams):
		return wire.Layout{}, false, fmt.Errorf("found hub: %s holds streams, but %s is gone: restore it, or move the directory away to begin anew", streams, path)
	}
	if err := writeFile(marker, nil); err != nil {
		return wire.Layout{}, false, err
	}
	return first, true, writeLayout(path, first)
}

// shared reads the layout of a hub of several nodes. An empty store has none: the hub has it, or is being founded.
func (s *store) shared() (l wire.Layout, founding bool, err error) {
	path := filepath.Join(s.dir, layoutFile)
	if !exists(path) {
		return wire.Layout{}, true, nil
	}
	l, err = readLayout(path)
	return l, false, err
}

// founded ends the founding. From now on a missing stream is a loss.
func (s *store) founded() error {
	err := os.Remove(filepath.Join(s.dir, foundingFile))
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("end founding: %w", err)
	}
	return nil
}

func readLayout(path string) (wire.Layout, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return wire.Layout{}, fmt.Errorf("read layout of hub store: %w", err)
	}
	var l wire.Layout
	if err := json.Unmarshal(data, &l); err != nil || l.Hub == "" || l.Number < 1 || l.Partitions < 1 || l.StreamBytes < 1 {
		return wire.Layout{}, fmt.Errorf("read layout of hub store: %s is damaged (%v): restore it from a backup", path, err)
	}
	return l, nil
}

func writeLayout(path string, l wire.Layout) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode layout: %w", err)
	}
	return writeFile(path, append(data, '\n'))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeFile writes a file so that after a crash it is there whole or not at all. Only the owner may read it.
func writeFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// freeBytes is how much an ordinary user may still write into the file system of dir.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("measure free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// randomID is n random bytes as hexadecimal digits.
func randomID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
