package cluster

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

// After a long outage of the receivers a chain is longer than one hello can read. What was read is kept, so that the next hello goes on there: else each
// would begin anew, and none would ever be answered.
const (
	followHosts = 64                // tables kept
	followBytes = 2 * wire.MaxTable // that they weigh together
	followKeep  = time.Second       // reading that took longer is kept even if it reached the head: the agent may not have waited for the answer
)

// errFollowing says that another hello reads the same chain now.
var errFollowing = errors.New("the hub is reading this host's chain")

// chainKey names a chain for as long as its sequences mean the same.
type chainKey struct {
	stream  string
	created time.Time
	host    string
}

// progress is a chain as far as it was read.
type progress struct {
	table  wire.Table
	base   uint64 // sequence of the table in the bucket that the reading began with
	linked bool   // every batch since names the one before it
	used   uint64 // when, counted in hellos
}

// following keeps progress of the chains that were read last. Any goroutine may use it.
type following struct {
	mu      sync.Mutex
	hellos  uint64
	kept    map[chainKey]*progress
	reading map[chainKey]uint64 // begun at this sequence
}

func newFollowing() *following {
	return &following{kept: map[chainKey]*progress{}, reading: map[chainKey]uint64{}}
}

// begin gives the furthest table to go on from: the one from the bucket, or a kept one that is further. A kept one counts only if everything up to it was linked, for
// then what was purged since does not matter; or if the bucket's is the very one that its reading began with, so that nothing was purged. Whether the chain goes
// on behind it, its reader sees by the next link. Every begin that does not fail must have its end.
func (f *following) begin(key chainKey, table wire.Table, head uint64) (progress, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, busy := f.reading[key]; busy {
		return progress{}, fmt.Errorf("%w: batches after %d, up to %d", errFollowing, at, head)
	}
	p := progress{table: table, base: table.Sequence, linked: true}
	if kept := f.kept[key]; kept != nil {
		valid := kept.linked || kept.base == table.Sequence
		if valid && kept.table.Sequence > table.Sequence && kept.table.Sequence <= head {
			p = *kept
			p.table = kept.table.Clone()
		} else {
			delete(f.kept, key)
		}
	}
	f.reading[key] = p.table.Sequence
	return p, nil
}

// end takes back the chain, and with keep what was read of it.
func (f *following) end(key chainKey, p progress, keep bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reading, key)
	if !keep {
		return
	}
	f.hellos++
	p.used, p.table = f.hellos, p.table.Clone()
	f.kept[key] = &p
	f.evict()
}

// evict drops what was used longest ago.
func (f *following) evict() {
	for {
		var oldest chainKey
		bytes, first := 0, uint64(0)
		for key, p := range f.kept {
			bytes += p.table.Weight()
			if first == 0 || p.used < first {
				oldest, first = key, p.used
			}
		}
		if len(f.kept) <= followHosts && bytes <= followBytes {
			return
		}
		delete(f.kept, oldest)
	}
}
