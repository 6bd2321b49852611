package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// errDamaged says that the index is no whole database.
var errDamaged = errors.New("it is damaged")

// remedy is what to do about an index that cannot be read. Nothing is mended by guessing: files are cut to the lengths it holds.
const remedy = "restore the index with the archive, or move the archive directory aside and start with an empty one: " +
	"what the hub still has is archived again, the old directory keeps the rest"

// openBolt opens the index after its structure was checked. bbolt maps the file and trusts it: a cut or overwritten one would end the process by a panic, a memory
// fault or a walk in circles, partly in goroutines of bbolt's own where nothing can stop that.
func openBolt(path string, readOnly bool) (db *bbolt.DB, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		if err := verify(path, info.Size()); err != nil {
			return nil, err
		}
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", errDamaged, fault)
		}
	}()
	return bbolt.Open(path, 0o600, indexOptions(readOnly))
}

// The file format of bbolt, version 2.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	boltHead    = 16 // bytes of a page's head, of an element, of a bucket's head
	boltMeta    = 64 // bytes of a meta page behind its head
	boltBranch  = 1
	boltLeaf    = 2
	boltBucket  = 1 // flag of a leaf's element
)

// verifier walks the pages of an index, each once.
type verifier struct {
	file *os.File
	page int64 // bytes
	high uint64
	seen map[uint64]bool

	bucket  []byte          // whose pages are being walked; nil: the root's
	buckets map[string]bool // those found
	version string
	wrong   error // the first key or value that is not what was written, in a structure that is whole
}

// verify reads every page that belongs to the index, and checks the sum of every value. An index of another version is left to indexID once its structure is found
// whole: what is said of it is its version then, not that it lacks sums. The error wraps errDamaged or is that of the file system.
func verify(path string, size int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	v := &verifier{file: file, seen: map[uint64]bool{}, buckets: map[string]bool{}}
	root, err := v.meta(size)
	if err != nil {
		return err
	}
	if err := v.walk(root, nil, nil); err != nil {
		return err
	}
	if v.version != indexVersion {
		return nil
	}
	return v.content()
}

// content is the first complaint about keys and values. A bucket whose name has changed is missing, even if it was empty.
func (v *verifier) content() error {
	for _, name := range allBuckets {
		if !v.buckets[string(name)] {
			return damaged("it has no bucket %q", name)
		}
	}
	return v.wrong
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

// meta finds the newest whole meta page, and in it the root.
func (v *verifier) meta(size int64) (root uint64, err error) {
	var newest uint64
	for _, at := range []int64{0, int64(os.Getpagesize())} {
		m := make([]byte, boltMeta)
		if _, err := v.file.ReadAt(m, at+boltHead); err != nil {
			continue
		}
		sum := fnv.New64a()
		sum.Write(m[:56])
		word, tx := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64(m[48:])
		if word(m) != boltMagic || word(m[4:]) != boltVersion || sum.Sum64() != binary.NativeEndian.Uint64(m[56:]) || tx < newest {
			continue
		}
		newest, v.page = tx, int64(word(m[8:]))
		root, v.high = binary.NativeEndian.Uint64(m[16:]), binary.NativeEndian.Uint64(m[40:])
	}
	if v.page < boltHead+boltMeta {
		return 0, damaged("it has no whole first page")
	}
	v.high = min(v.high, uint64(size/v.page))
	return root, nil
}

// walk reads a page and those below it. Its keys are at or above low, and below high unless that is nil.
func (v *verifier) walk(id uint64, low, high []byte) error {
	p, err := v.read(id)
	if err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(p[8:]); flags {
	case boltLeaf:
		return v.leaf(id, p, low, high)
	case boltBranch:
		return v.branch(id, p, low, high)
	default:
		return damaged("page %d is of kind %#x", id, flags)
	}
}

// read gives a page with what overflows it.
func (v *verifier) read(id uint64) ([]byte, error) {
	head := make([]byte, boltHead)
	if id < 2 || id >= v.high || v.seen[id] {
		return nil, damaged("page %d is out of place", id)
	}
	v.seen[id] = true
	if _, err := v.file.ReadAt(head, int64(id)*v.page); err != nil {
		return nil, err
	}
	over := uint64(binary.NativeEndian.Uint32(head[12:]))
	if binary.NativeEndian.Uint64(head) != id || id+over >= v.high {
		return nil, damaged("page %d has another's head", id)
	}
	for i := id + 1; i <= id+over; i++ {
		if v.seen[i] {
			return nil, damaged("page %d is out of place", i)
		}
		v.seen[i] = true
	}
	p := make([]byte, int64(over+1)*v.page)
	_, err := v.file.ReadAt(p, int64(id)*v.page)
	return p, err
}

func (v *verifier) branch(id uint64, p, low, high []byte) error {
	elements, err := parts(id, p, false)
	if err != nil {
		return err
	}
	if len(elements) == 0 {
		return damaged("page %d is empty", id)
	}
	if err := ordered(id, elements, low, high); err != nil {
		return err
	}
	for i, e := range elements {
		end := high
		if i+1 < len(elements) {
			end = elements[i+1].key
		}
		if err := v.walk(e.child, e.key, end); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) leaf(id uint64, p, low, high []byte) error {
	elements, err := parts(id, p, true)
	if err != nil {
		return err
	}
	if len(elements) == 0 && low != nil {
		return damaged("page %d is empty", id)
	}
	for _, e := range elements {
		if e.bucket != (v.bucket == nil) {
			return damaged("page %d has a bucket for a value, or a value for a bucket", id)
		}
		if !e.bucket {
			v.value(e)
		} else if err := v.enter(id, e.key, e.value); err != nil {
			return err
		}
	}
	return ordered(id, elements, low, high)
}

// value checks the sum of a value. The version has none.
func (v *verifier) value(e element) {
	if bytes.Equal(v.bucket, bucketMeta) && bytes.Equal(e.key, metaVersion) {
		v.version = string(e.value)
		return
	}
	if _, err := checkedValue(v.bucket, e.key, e.value); err != nil && v.wrong == nil {
		v.wrong = err
	}
}

// enter walks a bucket, which stands in its value where it is small.
func (v *verifier) enter(id uint64, name, value []byte) error {
	v.bucket, v.buckets[string(name)] = name, true
	defer func() { v.bucket = nil }()
	if len(value) < boltHead {
		return damaged("page %d has a bucket without a head", id)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.walk(root, nil, nil)
	}
	inline := value[boltHead:]
	if len(inline) < boltHead || binary.NativeEndian.Uint16(inline[8:]) != boltLeaf {
		return damaged("page %d has a bucket without content", id)
	}
	return v.leaf(id, inline, nil, nil)
}

// element is an entry of a page: a key, and a value or the page below.
type element struct {
	key, value []byte
	child      uint64
	bucket     bool
}

// parts takes a page apart. Its keys and values follow its elements without a gap, in order, so that a changed count or length does not go unseen.
func parts(id uint64, p []byte, leaf bool) ([]element, error) {
	n := int(binary.NativeEndian.Uint16(p[10:]))
	next := int64(boltHead * (n + 1))
	if next > int64(len(p)) {
		return nil, damaged("page %d claims %d elements", id, n)
	}
	elements := make([]element, n)
	for i := range elements {
		at := boltHead * (i + 1)
		head, e := p[at:at+boltHead], &elements[i]
		var pos, keySize, valueSize uint32
		if leaf {
			e.bucket = binary.NativeEndian.Uint32(head)&boltBucket != 0
			pos, keySize, valueSize = binary.NativeEndian.Uint32(head[4:]), binary.NativeEndian.Uint32(head[8:]), binary.NativeEndian.Uint32(head[12:])
		} else {
			pos, keySize, e.child = binary.NativeEndian.Uint32(head), binary.NativeEndian.Uint32(head[4:]), binary.NativeEndian.Uint64(head[8:])
		}
		value := next + int64(keySize)
		end := value + int64(valueSize)
		if int64(at)+int64(pos) != next || end > int64(len(p)) {
			return nil, damaged("page %d has an element out of place", id)
		}
		e.key, e.value, next = p[next:value], p[value:end], end
	}
	return elements, nil
}

func ordered(id uint64, elements []element, low, high []byte) error {
	n := len(elements)
	if n == 0 {
		return nil
	}
	byKey := func(a, b element) int { return bytes.Compare(a.key, b.key) }
	if bytes.Compare(elements[0].key, low) < 0 || high != nil && bytes.Compare(elements[n-1].key, high) >= 0 || !slices.IsSortedFunc(elements, byKey) {
		return damaged("page %d has keys out of order", id)
	}
	return nil
}
