package invariants

import (
	"errors"
	"fmt"

	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// ReadArchive reads the index of a stopped archive.
func ReadArchive(dir string) (Archive, error) {
	r, err := archive.OpenReader(dir)
	if err != nil {
		return Archive{}, err
	}
	a := Archive{ID: r.ID(), Held: map[string][]handover.Held{}}
	err = errors.Join(a.readStreams(r), a.readSources(r), a.readLedger(r), r.Close())
	if err != nil {
		return Archive{}, fmt.Errorf("read archive %s: %w", dir, err)
	}
	return a, nil
}

func (a *Archive) readStreams(r *archive.Reader) error {
	streams, err := r.Streams()
	for _, s := range streams {
		a.Held[s.Name] = s.Held
	}
	return err
}

func (a *Archive) readSources(r *archive.Reader) error {
	hosts, err := r.Hosts()
	if err != nil {
		return err
	}
	for _, host := range hosts {
		for s, err := range r.Sources(host) {
			if err != nil {
				return err
			}
			for _, g := range s.Generations {
				a.Extents = append(a.Extents, extent(host, s.Name, g))
			}
		}
	}
	return nil
}

func extent(host, source string, g archive.Generation) Extent {
	e := Extent{Host: host, Source: source, Generation: g.Number}
	for _, s := range g.Segments {
		e.Ranges = append(e.Ranges, Bytes{From: s.Start, To: s.Start + s.Length})
	}
	return e
}

func (a *Archive) readLedger(r *archive.Reader) error {
	for e, err := range r.Ledger() {
		if err != nil {
			return err
		}
		a.Ledger = append(a.Ledger, Missing{Host: e.Host, Source: e.Source, Generation: e.Generation, Bytes: Bytes{From: e.From, To: e.To}})
	}
	return nil
}
