package aws

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/logdrive/logdrive/cluster"
)

// watch tells live nodes from dead ones by whether their rows change, as seen here. No clock of another machine is looked at, and time in which this
// node did not look, or could not, counts for nobody: after an hour without the table all rows are an hour old, and none of their nodes need be dead.
type watch struct {
	deadAfter time.Duration
	rows      map[string]*sighting // of the others, by name
	last      time.Time            // last look; zero: none, or one has failed since
	looked    bool                 // ever
}

type sighting struct {
	row
	quiet time.Duration // how long it has not changed while this node looked
	known bool          // it has changed since it was first seen, or it was first seen between two looks, or it has been quiet for long
}

// blind says that a look has failed.
func (w *watch) blind() { w.last = time.Time{} }

// look takes in what the table has now.
func (w *watch) look(rows []row, own string, now time.Time) {
	passed := time.Duration(0)
	if !w.last.IsZero() {
		passed = min(now.Sub(w.last), w.deadAfter/3) // so it takes three looks at least to call a node dead
	}
	seen := map[string]*sighting{}
	for _, r := range rows {
		if r.name != own {
			seen[r.name] = w.sight(r, passed)
		}
	}
	w.rows, w.last, w.looked = seen, now, true
}

func (w *watch) sight(r row, passed time.Duration) *sighting {
	s, before := w.rows[r.name]
	switch {
	case !before: // who was there at the first look may be long dead; who came later has just written
		return &sighting{row: r, known: w.looked}
	case r.version != s.version || r.session != s.session:
		return &sighting{row: r, known: true}
	}
	s.quiet += passed
	s.known = s.known || s.quiet >= w.deadAfter
	return s
}

// isLive is of use only for nodes that are known.
func (w *watch) isLive(s *sighting) bool { return s.quiet < w.deadAfter && s.state != cluster.Left }

// live lists the addresses of the nodes that live, in order.
func (w *watch) live() ([]string, error) {
	var addresses, unknown []string
	for name, s := range w.rows {
		switch {
		case !s.known && s.state != cluster.Left:
			unknown = append(unknown, name)
		case w.isLive(s):
			addresses = append(addresses, s.address)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, fmt.Errorf("not known yet whether %s live: their rows have not changed since this node first saw them, and it takes %v to tell", strings.Join(unknown, ", "), w.deadAfter)
	}
	slices.Sort(addresses)
	return slices.Compact(addresses), nil
}

// dead lists who has been dead, or has left, for so long. Whoever is listed is not again for as long.
func (w *watch) dead(long time.Duration) (rows []row) {
	for _, s := range w.rows {
		if s.quiet >= long {
			rows = append(rows, s.row)
			s.quiet = min(s.quiet, w.deadAfter)
		}
	}
	return rows
}

// othersWork says whether every other live node works, and those are most of all live ones, this one included.
func (w *watch) othersWork() bool {
	if w.last.IsZero() { // what they were may be long ago
		return false
	}
	live, working := 1, 0
	for _, s := range w.rows {
		if !s.known {
			return false
		}
		if w.isLive(s) {
			live++
			if s.state == cluster.Working {
				working++
			}
		}
	}
	return working == live-1 && 2*working > live
}
