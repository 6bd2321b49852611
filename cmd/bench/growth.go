package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// growth is when a source was seen to have grown in an archive.
type growth struct {
	at      time.Time
	archive int
}

// growths watches one source in several archives, of which one at a time grows.
type growths struct {
	paths []string // of the active file, by archive
	last  []fs.FileInfo

	mu  sync.Mutex
	all []growth
}

// watchGrowth looks at all files again and again until ctx ends.
func watchGrowth(ctx context.Context, every time.Duration, all []*growths) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, g := range all {
			if err := g.look(); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *growths) look() error {
	if g.last == nil {
		g.last = make([]fs.FileInfo, len(g.paths))
	}
	for archive, path := range g.paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		before := g.last[archive]
		g.last[archive] = info
		// A new file under the name has grown if it holds anything; a shorter one was cut to what is committed.
		if base := sizeBefore(before, info); info.Size() > base {
			g.note(growth{time.Now(), archive})
		}
	}
	return nil
}

func sizeBefore(before, now fs.FileInfo) int64 {
	if before == nil || !os.SameFile(before, now) {
		return 0
	}
	return before.Size()
}

func (g *growths) note(one growth) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(g.all, one)
}

// first is when the source first grew after the given time in another archive than this one; zero if it has not yet.
func (g *growths) first(after time.Time, except int) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, one := range g.all {
		if one.archive != except && one.at.After(after) {
			return one.at
		}
	}
	return time.Time{}
}

// pause is the longest time without growth of which a part lies in the interval.
func (g *growths) pause(from, to time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	var times []time.Time
	for _, one := range g.all {
		times = append(times, one.at)
	}
	return longestPause(times, from, to)
}

// longestPause is the longest time between two in a row of which a part lies in the interval.
func longestPause(times []time.Time, from, to time.Time) (longest time.Duration) {
	for i, at := range times {
		if i > 0 && at.After(from) && times[i-1].Before(to) {
			longest = max(longest, at.Sub(times[i-1]))
		}
	}
	return longest
}
