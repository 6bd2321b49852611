package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/lines"
)

func at(ms int) time.Time { return time.UnixMilli(int64(1_000_000 + ms)) }

func nanos(ms int) int64 { return at(ms).UnixNano() }

func TestLatenciesCountOnlyTheInterval(t *testing.T) {
	f := &follower{}
	for i := range 10 {
		f.sightings = append(f.sightings, sighting{end: int64(100 * (i + 1)), stamped: nanos(10 * i), seen: nanos(10*i + 1 + i)})
	}
	got := visibleLatencies([]*follower{f}, at(20), at(50))
	if want := (latencies{3 * time.Millisecond, 4 * time.Millisecond, 5 * time.Millisecond}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestALineIsDurableOnceTheFloorCoversTheBatchOfItsEnd(t *testing.T) {
	s := []sighting{{end: 100, stamped: nanos(0)}, {end: 200, stamped: nanos(1)}, {end: 300, stamped: nanos(2)}}
	ends := []fleet.End{{Sequence: 5, Offset: 150}, {Sequence: 6, Offset: 200}, {Sequence: 9, Offset: 300}}
	floors := []fleet.Moved{{Floor: 4, At: at(1)}, {Floor: 6, At: at(11)}, {Floor: 9, At: at(22)}}
	got, err := durableLatencies(s, ends, floors, at(0), at(10))
	if want := (latencies{10 * time.Millisecond, 11 * time.Millisecond, 20 * time.Millisecond}); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v %v, want %v", got, err, want)
	}
	if _, err := durableLatencies(s, ends[:2], floors, at(0), at(10)); err == nil {
		t.Error("a line that no batch holds is durable")
	}
	if _, err := durableLatencies(s, ends, floors[:2], at(0), at(10)); err == nil {
		t.Error("a line that no floor covers is durable")
	}
}

func TestShares(t *testing.T) {
	var l latencies
	for i := range 1000 {
		l = append(l, time.Duration(i)*time.Millisecond)
	}
	if s := l.String(); s != "500.0 / 990.0 / 999.0" {
		t.Errorf("got %s", s)
	}
	if s := (latencies{}).String(); s != "0.0 / 0.0 / 0.0" {
		t.Errorf("got %s", s)
	}
}

func TestFollowSeesEveryLineOfAGrowingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	f := &follower{path: path}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- follow(ctx, time.Millisecond, []*follower{f}) }()
	wrote, err := load{Host: host, Paths: []string{path}, Rate: 20000, Lines: 3000}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A second one that looks once, at the end, shows where a follower must arrive.
	late := &follower{path: path}
	for before := int64(-1); late.offset != before; {
		before = late.offset
		if err := late.look(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(late.sightings) != 3000 || late.offset != int64(len(text)) || wrote[0].Lines != 3000 {
		t.Errorf("saw %d lines of %d, %d bytes of %d", len(late.sightings), wrote[0].Lines, late.offset, len(text))
	}
	for _, s := range f.sightings {
		if s.seen < s.stamped {
			t.Fatalf("seen %v before it was written", s)
		}
	}
}

func TestLoadKeepsItsLimits(t *testing.T) {
	for name, l := range map[string]load{
		"lines at full speed": {Lines: 777},
		"lines at a rate":     {Lines: 777, Rate: 1e6},
		"bytes":               {Bytes: 1 << 20},
	} {
		l.Host, l.Format, l.Paths = host, lines.JSON, numberedPaths(t.TempDir(), "a", 3)
		wrote, err := l.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var count uint64
		for _, w := range wrote {
			count += w.Lines
		}
		if l.Lines > 0 && count != l.Lines {
			t.Errorf("%s: %d lines", name, count)
		}
		if got := bytesOf(wrote); l.Bytes > 0 && (got < l.Bytes || got > l.Bytes+1000) {
			t.Errorf("%s: %d bytes", name, got)
		}
	}
}
