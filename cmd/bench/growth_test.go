package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/logdrive/logdrive/receiver"
)

func TestGrowthIsSeenInEveryArchive(t *testing.T) {
	dir := t.TempDir()
	g := &growths{paths: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}}
	look := func(want int) {
		t.Helper()
		if err := g.look(); err != nil {
			t.Fatal(err)
		}
		if len(g.all) != want {
			t.Fatalf("%d growths were seen, want %d", len(g.all), want)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	look(0)
	write("a", "one\n")
	look(1)
	look(1)
	write("a", "on") // cut to what is committed
	look(1)
	write("a", "one\n")
	look(2)
	write("b", "")
	look(2)
	write("b", "two\n")
	look(3)
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "a%1")); err != nil {
		t.Fatal(err)
	}
	write("a", "new\n") // as long as the one before, another file
	look(4)
	if got := g.first(time.Time{}, 0); got != g.all[2].at || g.all[2].archive != 1 {
		t.Errorf("first seen beside archive 0 at %v", got)
	}
	if got := g.first(g.all[3].at, -1); !got.IsZero() {
		t.Errorf("something was seen after the last: %v", got)
	}
}

func TestPauseIsTheLongestThatTouchesTheInterval(t *testing.T) {
	begin := time.Now()
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	g := &growths{}
	for _, s := range []int{0, 10, 11, 14, 15, 35} {
		g.note(growth{at: at(s)})
	}
	for _, tt := range []struct{ from, to, want int }{{12, 15, 3}, {9, 15, 10}, {11, 13, 3}, {12, 16, 20}, {40, 50, 0}} {
		if got := g.pause(at(tt.from), at(tt.to)); got != time.Duration(tt.want)*time.Second {
			t.Errorf("from %d to %d: %v, want %d s", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestIsBalanced(t *testing.T) {
	one := func(id string, leads bool, owned ...int) receiver.Standing {
		return receiver.Standing{Member: receiver.Member{ID: id}, Alive: true, Coordinator: leads, Partitions: owned, Wished: owned}
	}
	late := one("b", false, 2, 3)
	late.Wished = []int{1, 2, 3}
	for _, tt := range []struct {
		all  []receiver.Standing
		want bool
	}{
		{[]receiver.Standing{one("a", true, 0, 1, 4), one("b", false, 2, 3)}, true},
		{[]receiver.Standing{one("a", false, 0, 1, 4), one("b", false, 2, 3)}, false},
		{[]receiver.Standing{one("a", true, 0, 1, 4), late}, false},
		{[]receiver.Standing{one("a", true, 0, 1, 2, 4), one("b", false, 3)}, false},
		{[]receiver.Standing{one("a", true, 0, 1), one("b", false, 2, 3)}, false},
		{[]receiver.Standing{one("a", true, 0, 1, 2, 3, 4)}, false},
	} {
		if got := isBalanced(tt.all, 2, 5); got != tt.want {
			t.Errorf("%+v: %v", tt.all, got)
		}
	}
}
