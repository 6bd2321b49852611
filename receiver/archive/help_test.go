package archive_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"testing"

	compress "github.com/klauspost/compress/gzip"
	"go.etcd.io/bbolt"
)

// gzip replaces a file as gzip(1) does.
func gzip(t *testing.T, path string) {
	t.Helper()
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	w := compress.NewWriter(f)
	w.Write(plain)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	os.Remove(path)
}

// rewriteVersion makes the index one of another version, whose values have no sums.
func rewriteVersion(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		id := tx.Bucket([]byte("meta")).Get([]byte("id"))
		return errors.Join(
			tx.Bucket([]byte("meta")).Put([]byte("id"), bytes.Clone(id[crc32.Size:])),
			tx.Bucket([]byte("meta")).Put([]byte("version"), []byte("999")),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
}
