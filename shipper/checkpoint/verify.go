package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// errDamaged says that the file is no whole store.
var errDamaged = errors.New("damaged")

var newline = []byte{'\n'}

// verify reads every page of the store. bbolt maps the file and trusts it: a cut or overwritten one would end the process at some later
// time, by a panic or a memory fault. Here both become errDamaged, before anything relies on the file.
func verify(path string) (err error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("open checkpoint %s: %w", path, ErrInUse)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("open checkpoint %s: %w", path, err)
	case err != nil:
		return fmt.Errorf("open checkpoint %s: %w: %w", path, errDamaged, err)
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("open checkpoint %s: %w: %v", path, errDamaged, fault)
		}
		err = errors.Join(err, db.Close())
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := db.View(walk); err != nil {
		return fmt.Errorf("open checkpoint %s: %w: %w", path, errDamaged, err)
	}
	return nil
}

// walk touches every byte of every key and value.
func walk(tx *bbolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			bytes.Count(k, newline)
			bytes.Count(v, newline)
			return nil
		})
	})
}
