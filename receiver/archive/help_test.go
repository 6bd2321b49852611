package archive_test

import (
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

func rewriteVersion(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("version"), []byte("999")) })
	if err != nil {
		t.Fatal(err)
	}
}
