package checkpoint

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// put stores a value with its sum. bbolt has none for its pages, and a flipped bit in a number would go unseen: a length that was never seen would be
// declared missing.
func put(b *bbolt.Bucket, k, v []byte) error {
	return b.Put(k, append(sum(k, v), v...))
}

// get is the value of a key, nil if there is none. Its error wraps errDamaged.
func get(b *bbolt.Bucket, k []byte) ([]byte, error) {
	sealed := b.Get(k)
	if sealed == nil {
		return nil, nil
	}
	return unseal(k, sealed)
}

// unseal checks the sum. Its error wraps errDamaged.
func unseal(k, sealed []byte) ([]byte, error) {
	if len(sealed) < crc32.Size || string(sum(k, sealed[crc32.Size:])) != string(sealed[:crc32.Size]) {
		return nil, fmt.Errorf("%w: the sum of %q is wrong", errDamaged, k)
	}
	return sealed[crc32.Size:], nil
}

func sum(k, v []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Update(crc32.Checksum(k, castagnoli), castagnoli, v))
}
