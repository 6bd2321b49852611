package receiver

import "sync"

// cell is a value that one goroutine sets and others wait for changes of.
type cell[T any] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{} // closed at the next set
}

func newCell[T any]() *cell[T] { return &cell[T]{changed: make(chan struct{})} }

func (c *cell[T]) set(value T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = value
	close(c.changed)
	c.changed = make(chan struct{})
}

// get is the value, and a channel that is closed when it is set again.
func (c *cell[T]) get() (T, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.changed
}
