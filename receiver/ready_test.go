package receiver_test

import (
	"testing"
	"time"

	"github.com/logdrive/logdrive/receiver"
)

// A partition that stopped while its link was away, and has nothing to archive since, is well.
func TestIdlePartitionIsReadyAfterAFault(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a while of silence")
	}
	f := newFleet(t, steady, 1, nil)
	web := f.host(0)
	a := f.add("a", func(c *receiver.Config) { c.StuckAfter = 3 * time.Second })
	a.start()
	f.ship(web, 1)
	f.floor(1)
	a.blackhole()
	f.until(func() bool { return a.receiver.Ready() != nil }, "the receiver has noticed")
	a.thaw()
	f.until(func() bool { return a.receiver.Ready() == nil }, "the receiver is ready again")
}
