package e2e_test

import (
	"testing"
	"time"
)

// hubNodeFault does something to one of several hub nodes, unless one has trouble already.
var hubNodeFault = fault{"hub node", 40, 0, 0, func(d *disturbance, _ *member) func() { d.disturbNode(); return nil }}

func (d *disturbance) disturbNode() {
	for _, m := range d.mends {
		if m.member == nil {
			return
		}
	}
	v := d.view()
	defer v.nc.Close()
	n, leads := d.chosen(d.rand, v)
	f := nodeFaults[d.rand.IntN(len(nodeFaults))]
	lasts := upTo(d.rand, f.most)
	d.t.Logf("%8s      %s: %s, which leads %q, %v", time.Since(d.start).Round(time.Millisecond), f.name, n.name, leads, lasts.Round(time.Millisecond))
	d.watch.excuse()
	mend := f.do(d.rand, n)
	d.mendAfter(nil, lasts, func() {
		mend()
		n.ready()
	})
}

// The same with a hub of three nodes, of which one or the other is killed, ended, frozen or cut off all the time.
func TestChaosFleetOfNodes(t *testing.T) {
	slow(t)
	disturbFleet(t, newCrewOf(t, hubSize), length(40), hubNodeFault)
}
