package checkpoint

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logdrive/logdrive/shipper/tail"
)

// FileName is the store's file in the state directory.
const FileName = "checkpoint.db"

// version of the layout of the store.
const version = 1

// Keep is how many generations of a source are remembered at most. The agent tells which need not be, so it is met only by programs that keep more
// rotated files than that; of those the hub's table and the times of the files have to tell.
const Keep = 4096

// ErrInUse says that another process has the state directory.
var ErrInUse = errors.New("the state directory is in use by another logdrive agent; stop it, or choose another --state")

// ErrOtherHost says that the state directory belongs to an agent of another host name.
var ErrOtherHost = errors.New("the state directory belongs to another host; choose another --state, or run with that --host")

// ErrVersion says that another version of logdrive made the state directory.
var ErrVersion = errors.New("the state directory was made by another version of logdrive; run that version, or remove the file: positions come back from the hub")

var (
	metaBucket       = []byte("meta")
	generationBucket = []byte("generations")
	writerKey        = []byte("writer")
	hostKey          = []byte("host")
	versionKey       = []byte("version")
	chainKey         = []byte("chain")
)

// Chain names the chain that the positions of a checkpoint belong to, and how much of it had been acknowledged.
type Chain struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"`
	Sequence uint64    `json:"sequence"`
	// Forgotten is the highest generation number of the sources that were finished: none is given again, in another stream neither.
	Forgotten uint64 `json:"forgotten,omitempty"`
}

// Store remembers the acknowledged positions of one agent. One goroutine uses it.
type Store struct {
	db     *bbolt.DB // nil: there was no room for it yet
	lock   *os.File
	writer string
	full   *full
}

// Open opens the store in the state directory dir, making both when they are absent. A damaged store is moved aside and made anew: the hub knows
// the positions, so only hints are lost. One that is whole is used on a full disk, too: Save makes its successor when there is room again. Its errors are ErrInUse,
// ErrOtherHost, ErrVersion, ErrFull or those of the file system.
func Open(dir, host string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); isFull(err) {
		return nil, fmt.Errorf("%w: %w", ErrFull, err)
	} else if err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	s, err := open(path, host)
	if errors.Is(err, errDamaged) {
		s, err = openAnew(path, host, err, log)
	}
	if isFull(err) {
		s, err = openFull(path, host, err, log)
	}
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	s.lock = held
	return s, nil
}

// openAnew moves the damaged store aside, for people to look at, and begins another.
func openAnew(path, host string, damage error, log *slog.Logger) (*Store, error) {
	aside := path + ".damaged-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	log.Warn("checkpoint is damaged; starting a new one, positions come from the hub", "path", path, "moved", aside, "err", damage)
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("move damaged checkpoint aside: %w", err)
	}
	return open(path, host)
}

// open puts a fresh store in the place of the one at path, once it is known to be good. Should power fail before the new name is durable, the old one is
// still there.
func open(path, host string) (*Store, error) {
	db, err := renew(path+".new", path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: %w", path, err)
	}
	s := &Store{db: db}
	err = db.Update(func(tx *bbolt.Tx) error { return s.found(tx, host) })
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open checkpoint %s: %w", path, err), db.Close(), os.Remove(path+".new"))
	}
	return s, nil
}

// found makes the buckets and the writer id of a new store, and checks those of an old one.
func (s *Store) found(tx *bbolt.Tx, host string) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucketIfNotExists(generationBucket); err != nil {
		return err
	}
	if meta.Get(writerKey) == nil {
		return s.make(meta, host)
	}
	return s.check(meta, host)
}

// check reads whose store it is.
func (s *Store) check(meta *bbolt.Bucket, host string) error {
	if v := string(meta.Get(versionKey)); v != strconv.Itoa(version) {
		return fmt.Errorf("%w (layout %s, this is %d)", ErrVersion, v, version)
	}
	h, err := get(meta, hostKey)
	if err != nil {
		return err
	}
	if string(h) != host {
		return fmt.Errorf("%w: it is of %q, this agent is %q", ErrOtherHost, h, host)
	}
	writer, err := get(meta, writerKey)
	s.writer = string(writer)
	return err
}

func (s *Store) make(meta *bbolt.Bucket, host string) error {
	s.writer = rand.Text()
	return errors.Join(meta.Put(versionKey, []byte(strconv.Itoa(version))),
		put(meta, hostKey, []byte(host)), put(meta, writerKey, []byte(s.writer)))
}

// Writer is the random id of the state directory.
func (s *Store) Writer() string { return s.writer }

// Load gives what the last Save left.
func (s *Store) Load() (Chain, []tail.Generation, error) {
	if s.db == nil {
		return s.full.chain, s.full.known, nil
	}
	var chain Chain
	var known []tail.Generation
	err := s.db.View(func(tx *bbolt.Tx) error {
		var err error
		chain, known, err = load(tx)
		return err
	})
	if err != nil {
		return Chain{}, nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return chain, known, nil
}

func load(tx *bbolt.Tx) (chain Chain, known []tail.Generation, err error) {
	data, err := get(tx.Bucket(metaBucket), chainKey)
	if err != nil {
		return chain, nil, err
	}
	if data != nil {
		if err := json.Unmarshal(data, &chain); err != nil {
			return chain, nil, fmt.Errorf("chain: %w", err)
		}
	}
	err = tx.Bucket(generationBucket).ForEach(func(k, sealed []byte) error {
		v, err := unseal(k, sealed)
		if err != nil {
			return err
		}
		g, err := decode(k, v)
		known = append(known, g)
		return err
	})
	return chain, known, err
}

// Save remembers the chain and the given generations, and none up to those that are finished; others stay as they are. It is durable when it returns.
func (s *Store) Save(chain Chain, changed []tail.Generation, finished ...tail.Finished) error {
	if err := s.complete(); err != nil {
		return err
	}
	data, err := json.Marshal(chain)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		if err := put(tx.Bucket(metaBucket), chainKey, data); err != nil {
			return err
		}
		for _, f := range finished {
			if err := remove(tx.Bucket(generationBucket), f); err != nil {
				return err
			}
		}
		return saveGenerations(tx.Bucket(generationBucket), changed)
	})
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

func saveGenerations(b *bbolt.Bucket, changed []tail.Generation) error {
	for _, g := range changed {
		k, v, err := encode(g)
		if err != nil {
			return err
		}
		grows := b.Get(k) == nil
		if err := put(b, k, v); err != nil {
			return err
		}
		if !grows {
			continue
		}
		if err := trim(b, g); err != nil {
			return err
		}
	}
	return nil
}

// trim removes the oldest generation where there are more than are kept. Numbers are not without gaps.
func trim(b *bbolt.Bucket, newest tail.Generation) error {
	if newest.Number <= Keep {
		return nil
	}
	from, last := key(newest.Source, 0), key(newest.Source, newest.Number)
	c, n := b.Cursor(), 0
	oldest, _ := c.Seek(from)
	oldest = bytes.Clone(oldest)
	for k := oldest; k != nil && bytes.Compare(k, last) <= 0; k, _ = c.Next() {
		n++
	}
	if n <= Keep {
		return nil
	}
	return b.Delete(oldest)
}

// remove forgets a source up to a generation.
func remove(b *bbolt.Bucket, f tail.Finished) error {
	c, last := b.Cursor(), key(f.Source, f.Generation)
	for k, _ := c.Seek(key(f.Source, 0)); k != nil && bytes.Compare(k, last) <= 0; k, _ = c.Seek(key(f.Source, 0)) {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Close lets go of the store.
func (s *Store) Close() error {
	if s.db == nil {
		return s.lock.Close()
	}
	return errors.Join(s.db.Close(), s.lock.Close())
}

// key is the source, a NUL (which no path holds) and the number: the generations of a source stand together, in order.
func key(source string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(source), 0), number)
}
