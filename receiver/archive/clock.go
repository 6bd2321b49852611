package archive

import (
	"sync"
	"time"
)

// clock is the age of the archive: time during which it was open. Ages of segments are measured by it, so a wall clock that steps
// back or forth deletes nothing early. Time spent closed does not count, which only keeps bytes longer.
type clock struct {
	now func() time.Time

	mu   sync.Mutex
	high time.Time // the latest time seen; Sub uses its monotonic reading
	age  time.Duration
}

func newClock(now func() time.Time, age time.Duration) *clock {
	return &clock{now: now, high: now(), age: age}
}

// read is the age of the archive, and the wall clock in milliseconds since 1970.
func (c *clock) read() (age time.Duration, wall int64) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if passed := now.Sub(c.high); passed > 0 {
		c.age += passed
		c.high = now
	}
	return c.age, now.UnixMilli()
}
