package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"

	"go.etcd.io/bbolt"
)

// errDamaged says that the file is no whole store.
var errDamaged = errors.New("damaged")

// renew makes the file fresh out of the store at path, or empty if there is none, and opens it.
//
// bbolt maps its file and trusts it: a cut or overwritten one would end the process by a panic or a memory fault, at every start, and a damaged list of
// free pages would have pages overwritten that are in use. So a store is only ever read at a start, entry by entry, each with its sum; what was read is written
// anew, and only that is relied on. It costs a write of some 200 bytes a file.
func renew(fresh, path string) (*bbolt.DB, error) {
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := bbolt.Open(fresh, 0o600, nil)
	if err != nil {
		return nil, err
	}
	if err := fill(db, path); err != nil {
		return nil, errors.Join(err, db.Close(), os.Remove(fresh))
	}
	return db, nil
}

// fill copies what is in the store at path. Its error wraps errDamaged where the file is at fault and not the machine.
func fill(db *bbolt.DB, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil // never written
	}
	err = guard(func() error {
		old, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		defer old.Close()
		if err := old.View(walk); err != nil {
			return err
		}
		return bbolt.Compact(db, old, 0)
	})
	var machine *fs.PathError
	if err == nil || errors.Is(err, errDamaged) || errors.As(err, &machine) || errors.As(err, new(syscall.Errno)) {
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// guard turns panics and memory faults into errDamaged.
func guard(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", errDamaged, fault)
		}
	}()
	return read()
}

// walk reads every key and value and checks its sum. A store of another version is not judged: its values may stand otherwise.
func walk(tx *bbolt.Tx) error {
	if meta := tx.Bucket(metaBucket); meta == nil || string(meta.Get(versionKey)) != strconv.Itoa(version) {
		return nil
	}
	return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if bytes.Equal(k, versionKey) {
				return nil
			}
			_, err := unseal(k, v)
			return err
		})
	})
}
