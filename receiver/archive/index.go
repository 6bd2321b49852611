package archive

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// indexVersion is the format of the index. An index of another version is refused, never guessed at.
const indexVersion = "4"

const (
	indexFile = "index.db"
	lockFile  = "lock"
)

// The buckets, and what their keys and values are. Integers in keys are 8 bytes, big endian, so that cursors walk in order.
// Every value but the version stands behind a sum (sum.go).
var (
	bucketMeta        = []byte("meta")        // "version", "id", "case"
	bucketStreams     = []byte("streams")     // stream -> streamValue
	bucketHosts       = []byte("hosts")       // host -> hostValue
	bucketNames       = []byte("names")       // host, 0, hash of the source -> id
	bucketSources     = []byte("sources")     // id -> sourceValue
	bucketGenerations = []byte("generations") // id, generation -> generationValue
	bucketSegments    = []byte("segments")    // id, generation, offset of the first byte -> segmentValue
	bucketLedger      = []byte("ledger")      // content of the entry -> ledgerValue
	bucketUndo        = []byte("undo")        // stream id, epoch, sequence -> what the commit replaced

	allBuckets = [][]byte{bucketMeta, bucketStreams, bucketHosts, bucketNames, bucketSources, bucketGenerations, bucketSegments, bucketLedger, bucketUndo}
)

var (
	metaVersion = []byte("version")
	metaID      = []byte("id")
	metaFold    = []byte("case") // "same": host directories are named for a file system that takes A and a for the same; "apart"
)

// openIndex opens the index of dir, founding it in an empty archive, and gives the archive's id.
func openIndex(dir string) (*bbolt.DB, string, error) {
	path := filepath.Join(dir, indexFile)
	fresh, err := mayFound(dir, path)
	if err == nil && fresh {
		err = foundIndex(path)
	}
	if err != nil {
		return nil, "", err
	}
	db, err := openBolt(path, false)
	if err != nil {
		return nil, "", fmt.Errorf("open archive index %s: %w; if it cannot be read, %s", path, err, remedy)
	}
	id, err := checkIndex(db)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("archive index %s: %w; if it cannot be read, %s", path, err, remedy), db.Close())
	}
	return db, id, nil
}

// indexOptions: the free list is not written with each commit but found again on open; that halves the pages of a small commit.
func indexOptions(readOnly bool) *bbolt.Options {
	return &bbolt.Options{Timeout: 500 * time.Millisecond, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly}
}

// mayFound reports whether the index must be made. Files without an index must not be taken for leftovers of a crash: those are deleted.
func mayFound(dir, path string) (bool, error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, held := range []string{dirHosts, dirQuarantine} {
		if entries, err := os.ReadDir(filepath.Join(dir, held)); err == nil && len(entries) > 0 {
			return false, fmt.Errorf("open archive %s: it holds files but no %s: restore the index, or move %s/ and %s/ aside", dir, indexFile, dirHosts, dirQuarantine)
		}
	}
	return true, nil
}

// foundIndex makes an index beside its place and moves it there whole: one that a crash left without its buckets would be refused for ever. Until the directory is synced a loss of power may
// take it away again, with nothing in it.
func foundIndex(path string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("found archive index: %w", err)
	}
	db, err := bbolt.Open(fresh, 0o600, indexOptions(false))
	if err != nil {
		return fmt.Errorf("found archive index %s: %w", fresh, err)
	}
	err = at("index: opened")
	if err == nil {
		err = db.Update(fillIndex)
	}
	if err := errors.Join(err, db.Close(), at("index: filled")); err != nil {
		return fmt.Errorf("found archive index %s: %w", fresh, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("found archive index: %w", err)
	}
	return nil
}

func checkIndex(db *bbolt.DB) (id string, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		id, err = indexID(tx)
		return err
	})
	return id, err
}

func fillIndex(tx *bbolt.Tx) error {
	for _, name := range allBuckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	version := tx.Bucket(bucketMeta).Put(metaVersion, []byte(indexVersion)) // without a sum: it says whether there are any
	return errors.Join(version, putValue(tx, bucketMeta, metaID, []byte(rand.Text())))
}

func indexID(tx *bbolt.Tx) (string, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return "", errors.New("it is no archive's index")
	}
	if v := string(meta.Get(metaVersion)); v != indexVersion {
		return "", fmt.Errorf("it has version %q, this program reads and writes version %q", v, indexVersion)
	}
	id, err := getValue(tx, bucketMeta, metaID)
	return string(id), err
}

// indexFold is how the directories of hosts are named; not known of an archive that no program has opened that asks.
func indexFold(db *bbolt.DB) (fold, known bool, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		v, err := getValue(tx, bucketMeta, metaFold)
		fold, known = string(v) == "same", v != nil
		return err
	})
	return fold, known, err
}

func isTimeout(err error) bool { return errors.Is(err, bolterrors.ErrTimeout) }

func keyUints(v ...uint64) []byte {
	b := make([]byte, 0, 8*len(v))
	for _, n := range v {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func keyUint(key []byte, i int) uint64 { return binary.BigEndian.Uint64(key[8*i:]) }

// nameKey finds a source by its name: hashed, since a path may be longer than a key may be.
func nameKey(host, source string) []byte {
	sum := sha256.Sum256([]byte(source))
	return append(append([]byte(host), 0), sum[:]...)
}

// pageSize is how many values are read in one transaction: a long one would keep the index from reusing its pages.
const pageSize = 1024

type pair struct{ key, value []byte }

// pages walks the keys of a bucket that begin with prefix, in many short transactions. The pairs are copies.
func pages(db *bbolt.DB, bucket, prefix []byte) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		for from := prefix; ; {
			read, err := page(db, bucket, prefix, from)
			if err != nil {
				yield(pair{}, err)
				return
			}
			for _, p := range read {
				if !yield(p, nil) {
					return
				}
			}
			if len(read) < pageSize {
				return
			}
			from = append(read[pageSize-1].key, 0)
		}
	}
}

func page(db *bbolt.DB, bucket, prefix, from []byte) (read []pair, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix) && len(read) < pageSize; k, v = c.Next() {
			value, err := checkedValue(bucket, k, v)
			if err != nil {
				return err
			}
			read = append(read, pair{bytes.Clone(k), bytes.Clone(value)})
		}
		return nil
	})
	return read, err
}
