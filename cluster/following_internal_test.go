package cluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/logdrive/logdrive/cluster/wire"
)

func at(sequence uint64) wire.Table { return wire.Table{Sequence: sequence} }

// What was read earlier is believed only where the chain cannot have changed below it.
func TestWhatIsKeptOfAChain(t *testing.T) {
	for name, c := range map[string]struct {
		kept   progress
		bucket uint64
		head   uint64
		from   uint64
	}{
		"goes on":                               {progress{table: at(50), base: 10, linked: true}, 10, 90, 50},
		"the table has moved on":                {progress{table: at(50), base: 10, linked: true}, 20, 90, 50},
		"the table is further":                  {progress{table: at(50), base: 10, linked: true}, 60, 90, 60},
		"not linked, and nothing was purged":    {progress{table: at(50), base: 10}, 10, 90, 50},
		"not linked, and something may be gone": {progress{table: at(50), base: 10}, 20, 90, 20},
		"at the head":                           {progress{table: at(90), base: 10, linked: true}, 10, 90, 90},
		"the head went back":                    {progress{table: at(91), base: 10, linked: true}, 10, 90, 10},
	} {
		t.Run(name, func(t *testing.T) {
			f, key := newFollowing(), chainKey{stream: "s", host: "h"}
			f.end(key, c.kept, c.kept.table.Sequence > 0)
			p, err := f.begin(key, at(c.bucket), c.head)
			if err != nil || p.table.Sequence != c.from || p.table.Sequence == c.bucket && (!p.linked || p.base != c.bucket) {
				t.Errorf("goes on from %+v, %v; want %d", p, err, c.from)
			}
			if _, err := f.begin(key, at(c.bucket), c.head); !errors.Is(err, errFollowing) {
				t.Errorf("two read at once: %v", err)
			}
			if other, err := f.begin(chainKey{stream: "s", host: "i"}, at(1), 2); err != nil || other.table.Sequence != 1 {
				t.Errorf("another host's chain goes on from %+v, %v", other, err)
			}
		})
	}
}

func TestKeptChainsAreBounded(t *testing.T) {
	f := newFollowing()
	heavy := wire.Table{}
	for i := range 6000 {
		heavy.Apply(uint64(i+1), &wire.Batch{Opens: []wire.Open{{Source: fmt.Sprintf("/%0900d", i), Generation: 1, Identity: "i", Previous: -1}}})
	}
	for i := range 2 * followHosts {
		table := at(1)
		if i%8 == 0 {
			table = heavy
		}
		f.end(chainKey{host: fmt.Sprint(i)}, progress{table: table, linked: true}, true)
		bytes := 0
		for _, p := range f.kept {
			bytes += p.table.Weight()
		}
		if len(f.kept) > followHosts || bytes > followBytes || f.kept[chainKey{host: fmt.Sprint(i)}] == nil {
			t.Fatalf("%d chains of %d bytes are kept, the last one: %v", len(f.kept), bytes, f.kept[chainKey{host: fmt.Sprint(i)}] != nil)
		}
	}
}
