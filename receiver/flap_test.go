package receiver_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestFlapping: a receiver is killed and started again quickly, on the same archive, again and again.
func TestFlapping(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes many starts")
	}
	for name, end := range map[string]func(*node){"killed": (*node).kill, "told to end": (*node).stop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			f := newFleet(t, 2*time.Second, 2, nil)
			for p := range f.parts {
				f.host(p)
			}
			a, b := f.run("a"), f.run("b")
			f.balanced(a, b)
			stop := f.flow(10 * time.Millisecond)
			begun := time.Now()
			for range 10 {
				end(a)
				time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
				a.start()
				time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
				if !a.running() {
					t.Fatalf("the receiver has ended: %v", a.err)
				}
			}
			f.balanced(a, b)
			stop()
			f.exact()
			f.pauses(begun)
		})
	}
}
