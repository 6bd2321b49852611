package tail

import (
	"sync"
	"sync/atomic"
	"time"
)

// waker ticks: fast while a source is busy, slowly when none is.
type waker struct {
	ready      chan struct{} // one pending wake-up is as good as many
	tick, idle time.Duration
	busy       atomic.Bool
	kick       chan struct{}
	quit       chan struct{}
	start      func()
	stop       func()
	wg         sync.WaitGroup
}

func newWaker(tick, idle time.Duration) *waker {
	w := &waker{
		ready: make(chan struct{}, 1),
		kick:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
		tick:  tick,
		idle:  idle,
	}
	w.start = sync.OnceFunc(func() { w.wg.Go(w.run) })
	w.stop = sync.OnceFunc(func() { close(w.quit) })
	return w
}

// close ends what start started.
func (w *waker) close() {
	w.stop()
	w.wg.Wait()
}

func (w *waker) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-w.kick:
		case <-timer.C:
			w.wake()
		}
		timer.Reset(w.pause())
	}
}

func (w *waker) pause() time.Duration {
	if w.busy.Load() {
		return w.tick
	}
	return w.idle
}

func (w *waker) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// setBusy switches between the two ticks.
func (w *waker) setBusy(busy bool) {
	if w.busy.Swap(busy) == busy {
		return
	}
	select {
	case w.kick <- struct{}{}:
	default:
	}
}
