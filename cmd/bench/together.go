package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/logdrive/logdrive/cmd/bench/sources"
	"github.com/logdrive/logdrive/receiver/archive"
)

// archivedSource is one log as one or several archives hold it.
type archivedSource struct {
	host, path string
	open       func() (io.ReadCloser, error) // all generations joined, decompressed
}

// openArchives lists what archives hold: one by the names of its files, which may be in use, several by their indexes, which says how their segments join.
func openArchives(dirs []string) (all []archivedSource, done func() error, err error) {
	if len(dirs) > 1 {
		t, err := openTogether(dirs)
		if err != nil {
			return nil, nil, err
		}
		return t.list(), t.close, nil
	}
	found, err := sources.Archive(dirs[0])
	for _, s := range found {
		all = append(all, archivedSource{s.Host, s.Path, func() (io.ReadCloser, error) { return s.Open() }})
	}
	return all, func() error { return nil }, err
}

// together is several stopped archives, of which one holds each byte.
type together struct {
	readers []*archive.Reader
	sources map[sourceName][]part
}

type sourceName struct{ host, path string }

// part is a segment of one of the archives.
type part struct {
	archive.Segment
	of *archive.Reader
}

func openTogether(dirs []string) (*together, error) {
	t := &together{sources: map[sourceName][]part{}}
	for _, dir := range dirs {
		r, err := archive.OpenReader(dir)
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t.readers = append(t.readers, r)
		if err := t.add(r); err != nil {
			return nil, errors.Join(fmt.Errorf("read archive %s: %w", dir, err), t.close())
		}
	}
	for _, parts := range t.sources {
		slices.SortFunc(parts, func(a, b part) int {
			return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Start, b.Start))
		})
	}
	return t, nil
}

func (t *together) add(r *archive.Reader) error {
	hosts, err := r.Hosts()
	if err != nil {
		return err
	}
	for _, host := range hosts {
		for s, err := range r.Sources(host) {
			if err != nil {
				return err
			}
			name := sourceName{host, s.Name}
			for _, g := range s.Generations {
				for _, segment := range g.Segments {
					t.sources[name] = append(t.sources[name], part{segment, r})
				}
			}
		}
	}
	return nil
}

func (t *together) close() error {
	var errs []error
	for _, r := range t.readers {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

func (t *together) list() []archivedSource {
	var all []archivedSource
	for name := range t.sources {
		all = append(all, archivedSource{name.host, name.path, func() (io.ReadCloser, error) { return t.open(name) }})
	}
	slices.SortFunc(all, func(a, b archivedSource) int { return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.path, b.path)) })
	return all
}

// open joins the parts of a source. One that does not begin where the one before it ends is an error: it was archived twice, or not at all.
func (t *together) open(name sourceName) (io.ReadCloser, error) {
	r := &joinedParts{parts: t.sources[name]}
	var generation uint64
	var end int64
	for _, p := range r.parts {
		if p.Generation != generation {
			generation, end = p.Generation, 0
		}
		if p.Start != end {
			return nil, fmt.Errorf("%w: %s:%s generation %d goes on at byte %d after %d", errFaults, name.host, name.path, generation, p.Start, end)
		}
		end += p.Length
	}
	return r, nil
}

// joinedParts reads one part after the other.
type joinedParts struct {
	parts []part        // that are left
	now   io.ReadCloser // nil: between parts
}

func (r *joinedParts) Read(p []byte) (int, error) {
	for {
		if r.now == nil {
			if len(r.parts) == 0 {
				return 0, io.EOF
			}
			var err error
			if r.now, err = r.parts[0].of.OpenSegment(r.parts[0].Segment); err != nil {
				return 0, err
			}
			r.parts = r.parts[1:]
		}
		n, err := r.now.Read(p)
		if err == io.EOF {
			err = r.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *joinedParts) Close() error {
	if r.now == nil {
		return nil
	}
	now := r.now
	r.now = nil
	return now.Close()
}
