package archive

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putValue stores a value behind its sum. bbolt has none for its pages, and a flipped bit in a length or a key would go unseen: files are cut to those lengths,
// and what no key names is removed.
func putValue(tx *bbolt.Tx, bucket, key, value []byte) error {
	return tx.Bucket(bucket).Put(key, append(sumOf(bucket, key, value), value...))
}

// getValue is the value of a key, nil if there is none. It lives as long as tx. Its error wraps errDamaged.
func getValue(tx *bbolt.Tx, bucket, key []byte) ([]byte, error) {
	stored := tx.Bucket(bucket).Get(key)
	if stored == nil {
		return nil, nil
	}
	return checkedValue(bucket, key, stored)
}

// eachValue walks the values whose keys begin with prefix, in order.
func eachValue(tx *bbolt.Tx, bucket, prefix []byte, visit func(key, value []byte) error) error {
	c := tx.Bucket(bucket).Cursor()
	for k, stored := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, stored = c.Next() {
		v, err := checkedValue(bucket, k, stored)
		if err == nil {
			err = visit(k, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkedValue takes the sum off a value. Its error wraps errDamaged.
func checkedValue(bucket, key, stored []byte) ([]byte, error) {
	if len(stored) < crc32.Size || !bytes.Equal(stored[:crc32.Size], sumOf(bucket, key, stored[crc32.Size:])) {
		return nil, damaged("the sum of %q in %q is wrong", key, bucket)
	}
	return stored[crc32.Size:], nil
}

// sumOf covers bucket and key, too: a value is true at its own place only.
func sumOf(bucket, key, value []byte) []byte {
	sum := crc32.Checksum(bucket, castagnoli)
	sum = crc32.Update(sum, castagnoli, key)
	return binary.BigEndian.AppendUint32(nil, crc32.Update(sum, castagnoli, value))
}
