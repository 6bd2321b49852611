package archive

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/logdrive/logdrive/receiver/handover"
	"go.etcd.io/bbolt"
)

// Reader reads what an archive holds. Those of an Archive show what is committed while it runs on.
type Reader struct {
	root *os.Root // every path that comes from the network is opened through it
	db   *bbolt.DB
	id   string
	fold bool // names of hosts' directories are those for a file system that takes A and a for the same
}

// OpenReader opens the archive in dir for reading only. Its error wraps ErrInUse while a receiver runs on it.
func OpenReader(dir string) (*Reader, error) {
	path := filepath.Join(dir, indexFile)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open archive %s: %w", dir, err)
	}
	db, err := openBolt(path, true)
	if isTimeout(err) {
		return nil, fmt.Errorf("open archive %s: %w: stop its receiver, or ask that", dir, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open archive index %s: %w", path, err)
	}
	id, err := checkIndex(db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("archive index %s: %w", path, err), db.Close())
	}
	fold, _, err := indexFold(db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("archive index %s: %w", path, err), db.Close())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open archive %s: %w", dir, err), db.Close())
	}
	return &Reader{root: root, db: db, id: id, fold: fold}, nil
}

// ID is the archive's random id, by which records name it as owner.
func (r *Reader) ID() string { return r.id }

// Close releases the archive.
func (r *Reader) Close() error { return errors.Join(r.root.Close(), r.db.Close()) }

// Stream is what the archive has committed of one stream.
type Stream struct {
	Name      string
	Created   time.Time
	Confirmed uint64 // the floor was known to be at least this
	Held      []handover.Held
}

// Streams lists the streams that the archive has committed something of.
func (r *Reader) Streams() (streams []Stream, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		return eachValue(tx, bucketStreams, nil, func(k, data []byte) error {
			v, err := decodeStream(data)
			streams = append(streams, Stream{Name: string(k), Created: v.created, Confirmed: v.confirmed, Held: v.held})
			return err
		})
	})
	return streams, err
}

// Hosts lists the hosts of the archive, sorted.
func (r *Reader) Hosts() (hosts []string, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		return eachValue(tx, bucketHosts, nil, func(k, _ []byte) error {
			hosts = append(hosts, string(k))
			return nil
		})
	})
	return hosts, err
}

// Source is what the archive holds of one source.
type Source struct {
	Name        string
	Path        string // of its newest bytes, below the archive
	Generations []Generation
}

// Generation is what the archive holds of one generation. What lies below Offset is in a segment, in the ledger, or in another archive.
type Generation struct {
	Number   uint64
	Identity string
	Offset   int64 // end of what the chain has brought so far
	Length   int64 // final length; -1 while it is not known
	Segments []Segment
}

// Segment is one file of the archive: a contiguous run of one generation.
type Segment struct {
	Path        string // below the archive
	Generation  uint64
	Start       int64 // offset of its first byte in the generation
	Length      int64 // bytes, uncompressed
	State       string
	Compressed  bool
	Expired     bool      // deleted because it was old enough
	Sequence    uint64    // of the last message that wrote to it
	First, Last time.Time // when its first and last byte came, by the wall clock of then
}

// Sources walks what is committed of a host. Each source is read in a transaction of its own.
func (r *Reader) Sources(host string) iter.Seq2[Source, error] {
	return func(yield func(Source, error) bool) {
		for p, err := range pages(r.db, bucketNames, append([]byte(host), 0)) {
			var s Source
			if err == nil {
				s, err = r.source(p.value)
			}
			if err != nil {
				err = fmt.Errorf("read sources of host %s: %w", host, err)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

func (r *Reader) source(id []byte) (s Source, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		v, err := sourceOf(tx, id)
		if err != nil {
			return err
		}
		path := dirHosts + "/" + encodeComponent(v.host, r.fold) + "/" + v.path
		s = Source{Name: v.source, Path: path}
		return eachGeneration(tx, keyUint(id, 0), func(number uint64, gv generationValue) error {
			g := Generation{Number: number, Identity: gv.identity, Offset: gv.offset, Length: -1}
			if gv.listed {
				g.Length = gv.extent.Length
			}
			err := eachSegment(tx, keyUints(keyUint(id, 0), number), func(k []byte, sv segmentValue) error {
				g.Segments = append(g.Segments, sv.describe(path, number, int64(keyUint(k, 2))))
				return nil
			})
			s.Generations = append(s.Generations, g)
			return err
		})
	})
	return s, err
}

func (v *segmentValue) describe(path string, generation uint64, start int64) Segment {
	return Segment{
		Path: segmentPath(path, generation, start, v.state), Generation: generation, Start: start, Length: v.length,
		State: v.state.String(), Compressed: v.state == gzipped || v.state == zstded, Expired: v.state == expired, Sequence: v.sequence,
		First: time.UnixMilli(v.first), Last: time.UnixMilli(v.last),
	}
}

// OpenSegment reads the bytes of a segment, decompressed, and no more than are committed. A running janitor or rotation may have moved the
// file since it was listed: then the error wraps fs.ErrNotExist, and listing again finds it.
func (r *Reader) OpenSegment(s Segment) (io.ReadCloser, error) {
	f, err := r.root.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	plain, err := decompress(f, s.State)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w", s.Path, err), f.Close())
	}
	return segmentReader{Reader: io.LimitReader(plain, s.Length), plain: plain, file: f}, nil
}

type segmentReader struct {
	io.Reader
	plain io.ReadCloser
	file  *os.File
}

func (r segmentReader) Close() error { return errors.Join(r.plain.Close(), r.file.Close()) }

func decompress(f io.Reader, st string) (io.ReadCloser, error) {
	switch st {
	case gzipped.String():
		return gzip.NewReader(f)
	case zstded.String():
		d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(f), nil
}
