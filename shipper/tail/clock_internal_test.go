package tail

import (
	"testing"
	"time"
)

// What is compared with the clock later must not be a time of day: after a step back by a day the successor of an unterminated line would wait for a day.
func TestAgeOfAFoundFileOutlivesAClockStep(t *testing.T) {
	now := time.Now()
	for name, age := range map[string]time.Duration{"an hour old": time.Hour, "from tomorrow": -24 * time.Hour} {
		g := &generation{length: -1}
		g.found(stat{mtime: now.Add(-age).UnixNano()}, now)
		if g.grew == g.grew.Round(0) {
			t.Errorf("%s: the age is kept as a time of day", name)
		}
		if got, want := now.Sub(g.grew), max(age, 0); got != want {
			t.Errorf("%s: taken to be %v old", name, got)
		}
	}
}

// An empty sibling from before a step back is not looked for twenty times a second until the clock has caught up.
func TestEmptyFileFromTomorrowIsNotAwaited(t *testing.T) {
	now := time.Now()
	for age, awaited := range map[time.Duration]bool{time.Second: true, time.Minute: false, -time.Hour: false} {
		s := &source{}
		s.awaitFilled(entry{st: stat{mtime: now.Add(-age).UnixNano()}}, now)
		if got := !s.rescan.IsZero(); got != awaited {
			t.Errorf("%v old: awaited %v", age, got)
		}
	}
}
