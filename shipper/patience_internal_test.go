package shipper

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	p := newPatience(time.Second, 10*time.Second)
	for range 9 {
		p.impatient()
	}
	if p.now != 10*time.Second {
		t.Fatalf("a hub that is too slow again and again is given %s, want the most", p.now)
	}
	for range 20 {
		p.answered(2 * time.Second)
	}
	if p.now < 8*time.Second {
		t.Fatalf("a hub that answers after 2 s is given %s, want four times as long", p.now)
	}
	for range 50 {
		p.answered(time.Millisecond)
	}
	if p.now != time.Second {
		t.Fatalf("a hub that answers at once is given %s, want the least", p.now)
	}
}
