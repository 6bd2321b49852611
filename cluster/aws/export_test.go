package aws

import "time"

// SetClock replaces the clock that tells dead nodes from live ones.
func SetClock(a *Adapter, now func() time.Time) { a.now = now }
