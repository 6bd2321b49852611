package receiver_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
)

// The connection breaks with the last batch on its way to the receiver, and no other follows: it is archived all the same.
func TestLastDeliveryIsLostWithItsConnection(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a while of silence")
	}
	f := newFleet(t, steady, 1, nil)
	web, a := f.host(0), f.run("a")
	f.ship(web, 1)
	f.floor(1)
	f.until(func() bool { return f.consumer(web).AckFloor.Stream == 1 }, "the receiver knows that the floor is written")
	a.proxy.Blackhole()
	f.ship(web, 1)
	f.until(func() bool { return a.proxy.Held() > 0 && f.consumer(web).Delivered.Stream == 2 }, "the batch is on its way")
	a.proxy.Cut()
	a.proxy.Heal()
	f.floor(2)
	f.exact()
}

// consumer is that of the first epoch of a host's partition.
func (f *fleet) consumer(web *agent) *jetstream.ConsumerInfo {
	f.t.Helper()
	c, err := f.js.Consumer(f.t.Context(), web.stream, "archive-1")
	if err != nil {
		f.t.Fatal(err)
	}
	return c.CachedInfo()
}

// The answer to one of the coordinator's requests is lost with the connection: it goes on looking after the stream long before its agents would notice.
func TestKeeperGoesOnAfterALostAnswer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("fills streams")
	}
	f := newFleet(t, steady, 1, func(c *cluster.HubConfig) { c.StreamBytes = 1 << 20 })
	web, a := f.host(0), f.run("a")
	f.shipBlocks(web, 10)
	f.floor(10)
	a.proxy.Blackhole()
	f.until(func() bool { return a.proxy.Held() > 1000 }, "questions are on their way")
	time.Sleep(500 * time.Millisecond) // any of them is the keeper's, which asks ten times a second
	a.proxy.Cut()
	a.proxy.Heal()
	begun := time.Now()
	f.shipBlocks(web, 30)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the stream was full for %v", took)
	}
	f.exact()
}
