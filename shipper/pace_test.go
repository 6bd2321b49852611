package shipper

import (
	"testing"
	"time"
)

// batches is how many leave in a second when a file that gets so many bytes a second is read on every tick.
func batches(cfg Config, rate int, tick time.Duration) (n int, longest time.Duration) {
	var bytes int
	left, since := -time.Hour, time.Duration(0)
	for now := time.Duration(0); now < time.Second; now += tick {
		if bytes == 0 {
			since = now
		}
		bytes += int(int64(rate) * int64(tick) / int64(time.Second))
		if cfg.paced(bytes, now-left) {
			continue
		}
		n, left, bytes = n+1, now, 0
		longest = max(longest, now-since)
	}
	return n, longest
}

func TestBusierFilesArePacedLess(t *testing.T) {
	const line, tick = 200, 5 * time.Millisecond
	cfg := DefaultConfig()
	for _, test := range []struct {
		lines, most, least int // lines a second; batches a second
		wait               time.Duration
	}{
		{lines: 1000, least: 60, most: 70, wait: 2 * tick},
		{lines: 10_000, least: 60, most: 70, wait: 2 * tick},
		{lines: 20_000, least: 200, most: 200, wait: 0},
		{lines: 100_000, least: 200, most: 200, wait: 0},
	} {
		got, wait := batches(cfg, test.lines*line, tick)
		if got < test.least || got > test.most || wait > test.wait {
			t.Errorf("%d lines/s: %d batches/s, held %v; want %d to %d, at most %v", test.lines, got, wait, test.least, test.most, test.wait)
		}
	}
}

func TestALoneLineLeavesAtOnce(t *testing.T) {
	cfg := DefaultConfig()
	if cfg.paced(1, cfg.Pace) {
		t.Error("a line that comes a pace after the last batch is held back")
	}
	if !cfg.paced(1, cfg.Pace/2) {
		t.Error("a line that comes right after a batch is not held back")
	}
	if cfg.Once = true; cfg.paced(1, 0) {
		t.Error("with Once nothing more may come, and the line is held back")
	}
}
