package shipper

import "time"

// patience is how long an answer of the hub is waited for before the same bytes are sent again. A hub that is only slow must not be sent everything twice: the
// second copy would be refused, and a hello and a new reading of the file would follow for every batch, on a hub that is slow already.
type patience struct {
	least, most time.Duration
	now         time.Duration
}

func newPatience(least, most time.Duration) *patience {
	return &patience{least: least, most: most, now: least}
}

// impatient says that a batch had been stored although no answer had come in time.
func (p *patience) impatient() { p.now = min(2*p.now, p.most) }

// answered says how long an answer took. Patience goes back slowly.
func (p *patience) answered(after time.Duration) {
	p.now = min(max(p.least, p.now-p.now/16, 4*after), p.most)
}
