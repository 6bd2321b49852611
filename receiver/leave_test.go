package receiver_test

import "testing"

// TestStopsBehindACut: a receiver whose hub is out of reach ends as cleanly as any. What it could not tell ends by itself.
func TestStopsBehindACut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, flickering, 1, nil)
	web, a := f.host(0), f.run("a")
	f.ship(web, 1)
	f.floor(1)
	a.proxy.Cut()
	a.stop()
	a.proxy.Heal()
	a.start()
	f.ship(web, 1)
	f.floor(2)
	f.exact()
}
