package demo

import (
	"sync"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

const (
	linesPerTick = 20
	growEvery    = 10 * time.Millisecond
)

// grower writes the growing log.
type grower struct {
	writer *lines.Writer
	rotate chan chan error // asks for a rotation and waits for it
	stop   chan struct{}
	once   sync.Once  // closes stop
	done   chan error // holds how it ended
}

func newGrower(host, path string) (*grower, error) {
	m, err := lines.NewMaker(lines.Config{Origin: host + ":growing", Seed: uint64(time.Now().UnixNano())})
	if err != nil {
		return nil, err
	}
	w, err := lines.OpenWriter(path, m)
	if err != nil {
		return nil, err
	}
	return &grower{writer: w, rotate: make(chan chan error), stop: make(chan struct{}), done: make(chan error, 1)}, nil
}

// run writes until finish is called.
func (g *grower) run() {
	tick := time.NewTicker(growEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := g.grow(); err != nil {
				g.done <- err
				return
			}
		case answer := <-g.rotate:
			answer <- g.writer.Rotate(lines.Rename)
		case <-g.stop:
			g.done <- g.writer.Close()
			return
		}
	}
}

func (g *grower) grow() error {
	for range linesPerTick {
		if err := g.writer.Line(); err != nil {
			return err
		}
	}
	return nil
}

// rotateNow returns once the file has been put aside.
func (g *grower) rotateNow() error {
	answer := make(chan error)
	select {
	case g.rotate <- answer:
		return <-answer
	case err := <-g.done:
		g.done <- err
		return err
	}
}

// finish ends the writing and tells how it went. It may be called again.
func (g *grower) finish() error {
	g.once.Do(func() { close(g.stop) })
	err := <-g.done
	g.done <- err
	return err
}
