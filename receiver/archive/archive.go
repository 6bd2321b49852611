package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Directories of an archive.
const (
	dirHosts      = "hosts"
	dirQuarantine = "quarantine"
	dirSuperseded = "superseded"

	fileMode = 0o640
	dirMode  = 0o750
)

// ErrInUse says that another process has the archive open.
var ErrInUse = errors.New("archive is in use")

// Archive is one directory tree and its index. Its methods may be called from any goroutine.
type Archive struct {
	*Reader
	cfg   Config
	log   *slog.Logger
	lock  *os.File
	group *group
	clock *clock
	files *files
	stats stats

	lastSource atomic.Uint64
	lastStream atomic.Uint64

	sweeping sync.Mutex // one sweep of the janitor at a time
	settling sync.Mutex // held where directory and index differ on purpose, and where the directory is made to follow the index

	mu         sync.Mutex
	partitions map[string]*Partition // open ones, by stream; nil while one is being opened or its stream set aside
	unclean    map[string]bool       // hosts with files that a closed partition has not committed
}

// Open opens the archive in cfg.Dir, or founds one. It takes the lock, and cuts every file back to what the index says is committed: what lies beyond was never
// acknowledged, so the stream delivers it again.
func Open(cfg Config) (*Archive, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("archive configuration: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Archive{
		Reader: &Reader{}, cfg: cfg, log: cfg.Logger, files: newFiles(cfg.MaxOpen),
		partitions: map[string]*Partition{}, unclean: map[string]bool{},
	}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Archive) open() (err error) {
	if err := os.MkdirAll(a.cfg.Dir, dirMode); err != nil {
		return fmt.Errorf("make archive directory: %w", err)
	}
	if a.lock, err = lockDir(a.cfg.Dir); err != nil {
		return err
	}
	if a.root, err = os.OpenRoot(a.cfg.Dir); err != nil {
		return fmt.Errorf("open archive directory: %w", err)
	}
	if a.db, a.id, err = openIndex(a.cfg.Dir); err != nil {
		return err
	}
	a.group = &group{db: a.db}
	for _, dir := range []string{dirHosts, dirQuarantine, dirSuperseded} {
		if err := a.root.MkdirAll(dir, dirMode); err != nil {
			return fmt.Errorf("make archive directory %s: %w", dir, err)
		}
	}
	if err := a.syncDir("."); err != nil {
		return err
	}
	if err := a.settleFold(); err != nil {
		return err
	}
	if err := a.readState(); err != nil {
		return fmt.Errorf("read archive index: %w", err)
	}
	return a.recover()
}

// settleFold finds out, when the archive is founded, whether its file system takes A and a for the same, and remembers it: names that changed with the file system, or with a
// stray file, would have every file of a host removed that the index does not find any more.
func (a *Archive) settleFold() (err error) {
	lock, errLock := os.Stat(filepath.Join(a.cfg.Dir, lockFile))
	upper, errUpper := os.Stat(filepath.Join(a.cfg.Dir, "LOCK"))
	folds := errLock == nil && errUpper == nil && os.SameFile(lock, upper)
	known := false
	if a.fold, known, err = indexFold(a.db); err != nil {
		return fmt.Errorf("read archive index: %w", err)
	}
	switch {
	case known && folds && !a.fold:
		return fmt.Errorf("open archive %s: it was founded on a file system that tells A from a, here they are the same: names could meet. Move it back to one like that", a.cfg.Dir)
	case known:
		return nil
	}
	a.fold = folds
	value := []byte("apart")
	if folds {
		value = []byte("same")
	}
	return a.db.Update(func(tx *bbolt.Tx) error { return putValue(tx, bucketMeta, metaFold, value) })
}

// readState finds the highest ids in use and the archive's age.
func (a *Archive) readState() error {
	return a.db.View(func(tx *bbolt.Tx) error {
		if k, _ := tx.Bucket(bucketSources).Cursor().Last(); k != nil {
			a.lastSource.Store(keyUint(k, 0))
		}
		var age time.Duration
		err := eachValue(tx, bucketStreams, nil, func(_, data []byte) error {
			v, err := decodeStream(data)
			a.lastStream.Store(max(a.lastStream.Load(), v.id))
			age = max(age, v.clock)
			return err
		})
		a.clock = newClock(a.cfg.Now, age)
		return err
	})
}

// lockDir makes sure that one process owns the directory: two would write over each other's bytes.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("lock archive: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path)
		f.Close()
		return nil, fmt.Errorf("%w: %s is held by process %s; stop that receiver, or give this one another archive directory (%v)", ErrInUse, path, string(owner), err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprint(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// Close releases the archive. Its partitions must be closed, and nothing else may be running.
func (a *Archive) Close() error {
	var errs []error
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	if a.root != nil {
		a.root.Close()
	}
	if a.lock != nil {
		a.lock.Close()
	}
	return errors.Join(errs...)
}

func (a *Archive) hostDir(host string) string {
	return dirHosts + "/" + encodeComponent(host, a.fold)
}

// syncDir makes the names in a directory durable.
func (a *Archive) syncDir(name string) error {
	f, err := a.root.Open(name)
	if err != nil {
		return fmt.Errorf("open directory to sync it: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", name, err)
	}
	return nil
}

// remove deletes a file; one that is gone is fine.
func (a *Archive) remove(name string) error {
	if err := a.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
