package archive

import (
	"bytes"
	"slices"

	"go.etcd.io/bbolt"
)

// undo is what one commit replaced in the index (rule A4). It is kept until the floor is known to have passed the commit.
type undo struct {
	before uint64 // sequence committed before it
	old    []pair // bucket and key joined, and the value that stood there; nil: none
}

// remember notes the value of a key. A value is never empty.
func (u *undo) remember(tx *bbolt.Tx, bucket, key []byte) error {
	e := encoder{}
	e.bytes(bucket)
	e.bytes(key)
	value, err := getValue(tx, bucket, key)
	u.old = append(u.old, pair{e.b, value})
	return err
}

func (u *undo) encode() []byte {
	e := encoder{}
	e.uint(u.before)
	e.uint(uint64(len(u.old)))
	for _, p := range u.old {
		e.bytes(p.key)
		e.bytes(p.value)
	}
	return e.b
}

func decodeUndo(b []byte) (undo, error) {
	d := decoder{b: b}
	u := undo{before: d.uint()}
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		u.old = append(u.old, pair{d.bytes(), d.bytes()})
	}
	return u, d.end()
}

// splitKey takes apart what remember joined.
func splitKey(joined []byte) (bucket, key []byte, err error) {
	d := decoder{b: joined}
	bucket, key = d.bytes(), d.bytes()
	return bucket, key, d.end()
}

// dropUndo forgets how to take back what the floor has passed. It goes a little at a time, so no commit is slow because many before it were confirmed at once.
func dropUndo(tx *bbolt.Tx, stream, floor uint64) error {
	const atOnce = 64
	var passed [][]byte
	prefix := keyUints(stream)
	c := tx.Bucket(bucketUndo).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(passed) < atOnce; k, _ = c.Next() {
		if keyUint(k, 2) > floor {
			break
		}
		passed = append(passed, slices.Clone(k))
	}
	for _, k := range passed {
		if err := tx.Bucket(bucketUndo).Delete(k); err != nil {
			return err
		}
	}
	return nil
}
