package checkpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/logdrive/logdrive/shipper/tail"
)

// ErrFull says that there is no room for a new store, and that there is no old one that could be used meanwhile.
var ErrFull = errors.New("no room for the state directory; free space on its disk, or choose another --state")

// fullRetry is the least time between two attempts to make a store on a disk that was full.
const fullRetry = 2 * time.Second

// full is a store that could be read but not renewed. The hub knows the positions, so an agent ships on with what was read.
type full struct {
	path, host string
	chain      Chain
	known      []tail.Generation
	tried      time.Time
}

// isFull reports whether a disk did not take what was written, now: it may tomorrow.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// openFull reads the store at path where nothing can be written.
func openFull(path, host string, cause error, log *slog.Logger) (*Store, error) {
	s := &Store{full: &full{path: path, host: host, tried: time.Now()}}
	err := guard(func() error {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			return errors.Join(errDamaged, err)
		}
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(s.read)
	})
	switch {
	case err == nil:
		log.Warn("no room to write the checkpoint; shipping all the same, positions come from the hub", "path", path, "err", cause)
		return s, nil
	case errors.Is(err, ErrOtherHost), errors.Is(err, ErrVersion):
		return nil, fmt.Errorf("open checkpoint %s: %w", path, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrFull, cause)
}

// read takes over what the store holds.
func (s *Store) read(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil || tx.Bucket(generationBucket) == nil || meta.Get(writerKey) == nil {
		return errDamaged
	}
	if err := s.check(meta, s.full.host); err != nil {
		return err
	}
	var err error
	s.full.chain, s.full.known, err = load(tx)
	return err
}

// complete makes the store that there was no room for, with the writer id that this process has gone by.
func (s *Store) complete() error {
	if s.db != nil {
		return nil
	}
	if time.Since(s.full.tried) < fullRetry {
		return fmt.Errorf("write checkpoint %s: %w", s.full.path, unix.ENOSPC)
	}
	s.full.tried = time.Now()
	made, err := open(s.full.path, s.full.host)
	if err != nil {
		return err
	}
	if made.writer != s.writer {
		err = made.db.Update(func(tx *bbolt.Tx) error { return put(tx.Bucket(metaBucket), writerKey, []byte(s.writer)) })
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write checkpoint %s: %w", s.full.path, err), made.db.Close())
	}
	s.db, s.full = made.db, nil
	return nil
}
