package receiver_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/receiver/archive"
)

// part is a run of a host's bytes in one archive.
type part struct {
	start int64
	data  []byte
	in    string // name of the node
}

// exact waits until all archives together hold every byte that was shipped once and in order, and then asserts that no ledger has an entry, that no two archives
// hold the same epoch, and that whatever was set aside is what was shipped, too. All nodes must run, or have been stopped after they reconciled.
func (f *fleet) exact() {
	f.t.Helper()
	for end := time.Now().Add(clustertest.Patience); ; time.Sleep(5 * time.Millisecond) {
		err := f.union()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			f.t.Fatalf("the archives together are not what was shipped: %v", err)
		}
	}
	f.clean()
}

func (f *fleet) union() error {
	parts := map[string][]part{}
	for _, n := range f.nodes {
		if err := n.read(func(r *archive.Reader) error { return n.collect(r, parts) }); err != nil {
			return err
		}
	}
	for host, want := range f.truth {
		if err := compare(parts[host], want); err != nil {
			return fmt.Errorf("host %s: %w", host, err)
		}
		delete(parts, host)
	}
	for host := range parts {
		return fmt.Errorf("host %s has not shipped anything", host)
	}
	return nil
}

// read calls f with a reader of the node's archive, whether it runs or not.
func (n *node) read(f func(*archive.Reader) error) error {
	if n.ended == nil {
		return nil // never started
	}
	if n.running() {
		return f(n.archive.Reader)
	}
	r, err := archive.OpenReader(n.dir)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.Close())
}

func (n *node) collect(r *archive.Reader, parts map[string][]part) error {
	hosts, err := r.Hosts()
	if err != nil {
		return err
	}
	for _, host := range hosts {
		for source, err := range r.Sources(host) {
			if err != nil {
				return err
			}
			for _, g := range source.Generations {
				for _, s := range g.Segments {
					data, err := readSegment(r, s)
					if err != nil {
						return err
					}
					parts[host] = append(parts[host], part{s.Start, data, n.name})
				}
			}
		}
	}
	return nil
}

func readSegment(r *archive.Reader, s archive.Segment) ([]byte, error) {
	if s.Length == 0 {
		return nil, nil
	}
	in, err := r.OpenSegment(s)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err == nil && int64(len(data)) != s.Length {
		err = fmt.Errorf("segment %s has %d bytes, %d are committed", s.Path, len(data), s.Length)
	}
	return data, err
}

func compare(parts []part, want []byte) error {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.start, b.start) })
	end := int64(0)
	for _, p := range parts {
		stop := p.start + int64(len(p.data))
		switch {
		case len(p.data) == 0:
			continue
		case p.start > end:
			return fmt.Errorf("bytes %d to %d are in no archive; %s goes on at %d", end, p.start, p.in, p.start)
		case p.start < end:
			return fmt.Errorf("bytes %d to %d are archived twice, once by %s", p.start, min(end, stop), p.in)
		case stop > int64(len(want)):
			return fmt.Errorf("%s holds bytes up to %d, %d were shipped", p.in, stop, len(want))
		case !bytes.Equal(p.data, want[p.start:stop]):
			return fmt.Errorf("bytes %d to %d of %s are not what was shipped", p.start, stop, p.in)
		}
		end = stop
	}
	if end != int64(len(want)) {
		return fmt.Errorf("archived up to %d of %d", end, len(want))
	}
	return nil
}

// clean asserts what must hold of the archives whenever nothing is in flight.
func (f *fleet) clean() {
	f.t.Helper()
	owners := map[string]string{} // of epochs
	for _, n := range f.nodes {
		err := n.read(func(r *archive.Reader) error {
			for e, err := range r.Ledger() {
				if err != nil {
					return err
				}
				f.t.Errorf("ledger of %s: %+v", n.name, e)
			}
			streams, err := r.Streams()
			for _, s := range streams {
				for _, h := range s.Held {
					epoch := fmt.Sprintf("%s epoch %d", s.Name, h.Epoch)
					if other := owners[epoch]; other != "" {
						f.t.Errorf("%s is held by %s and %s", epoch, other, n.name)
					}
					owners[epoch] = n.name
				}
			}
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
		f.setAside(n)
	}
}

// setAside is how many bytes the node has set aside. Each must be what was shipped at its place.
func (f *fleet) setAside(n *node) (size int64) {
	f.t.Helper()
	top := filepath.Join(n.dir, "superseded")
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		below, _ := filepath.Rel(top, path)
		host := strings.Split(below, string(filepath.Separator))[3] // epoch, stream, range
		start, err := strconv.ParseInt(path[strings.LastIndexByte(path, '-')+1:], 10, 64)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if want := f.truth[host]; start+int64(len(data)) > int64(len(want)) || !bytes.Equal(data, want[start:start+int64(len(data))]) {
			f.t.Errorf("%s is not what was shipped", path)
		}
		size += int64(len(data))
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return size
}
