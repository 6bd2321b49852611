package archive

import (
	"sync"

	"go.etcd.io/bbolt"
)

// group joins the transactions of many partitions into one: while one is being synced, the next gathers. Without it eight
// partitions would wait for each other's two syncs, one after the other.
type group struct {
	db      *bbolt.DB
	running sync.Mutex // held by the caller whose transaction is under way
	mu      sync.Mutex
	waiting []*change
}

type change struct {
	apply func(*bbolt.Tx) error
	done  bool // guarded by group.running
	err   error
}

// do runs apply in a transaction that it may share with others; it may be run in one that is rolled back because another's apply failed.
func (g *group) do(apply func(*bbolt.Tx) error) error {
	c := &change{apply: apply}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	g.mu.Unlock()
	g.running.Lock()
	defer g.running.Unlock()
	if !c.done {
		g.run()
	}
	return c.err
}

func (g *group) run() {
	g.mu.Lock()
	changes := g.waiting
	g.waiting = nil
	g.mu.Unlock()
	err := g.db.Update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			if err := c.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range changes {
		c.done, c.err = true, err
	}
}
