package shipper

import (
	"fmt"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/shipper/tail"
)

const (
	forgetMost    = 64       // sources that one batch finishes
	forgetHeaders = 32 << 10 // and the headers they may take of it
)

// nextGeneration is about what the second generation of a source adds to its weight.
const nextGeneration = 112

// tend keeps the host's table from growing for ever. Where it is large, finished sources are declared so in the batch that is being filled; not before, since one
// that was only moved out of sight for a while is then shipped once more. Where it would outgrow its bounds no new ones are begun.
func (st *stretch) tend() {
	if time.Since(st.tended) < st.cfg.SaveEvery {
		return
	}
	st.tended = time.Now()
	if len(st.table.Sources) > st.cfg.KeepSources || st.table.Weight() > st.cfg.TableBytes/4 {
		if st.tailer.Forget(&st.filling.tail, tail.Limits{HeaderBytes: forgetHeaders}, forgetMost) {
			st.tendAgain()
		}
	}
	st.room = st.cfg.TableBytes - st.cfg.TableBytes/8 - weightToCome(&st.table)
	st.judge()
}

// judge says when no further source may be begun, and when they may again. An eighth of the table is left for what is in flight then, and for what is declared
// missing of files that wait.
func (st *stretch) judge() {
	if full := st.room < 0; full != st.full {
		st.full = full
		st.sayFull()
	}
}

// tendAgain makes the next fill look at the table.
func (st *stretch) tendAgain() { st.tended, st.swept = time.Time{}, false }

func (st *stretch) sayFull() {
	if st.full {
		st.cfg.Logger.Error("too many files for one host: new ones wait until others are deleted; exclude some, or ship them under further host names, each with its own agent and state directory",
			"sources", len(st.table.Sources))
		return
	}
	st.cfg.Logger.Info("there is room for new files again", "sources", len(st.table.Sources))
}

// weightToCome is what the table will weigh when every source has been rotated.
func weightToCome(t *wire.Table) int {
	weight := t.Weight()
	for _, extents := range t.Sources {
		if len(extents) == 1 {
			weight += nextGeneration
		}
	}
	return weight
}

// follow takes what was acknowledged into the table, as everyone does who reads the chain.
func (st *stretch) follow(a acknowledgement) {
	weight, sources := st.table.Weight(), len(st.table.Sources)
	st.table.Apply(a.sequence, &a.batch.header)
	st.room -= max(0, st.table.Weight()-weight) + max(0, len(st.table.Sources)-sources)*nextGeneration
	st.judge()
	st.chain.Forgotten = max(st.chain.Forgotten, st.table.Forgotten)
	st.unsaved.gone = append(st.unsaved.gone, a.batch.tail.Forgets...)
	if st.tended.IsZero() {
		st.dry = false
	}
}

// allShipped is the end of Once, after a last look for finished sources; nil: it is not reached yet. It must not look like success when files had to wait.
func (st *stretch) allShipped() error {
	if !st.swept {
		st.tendAgain()
		st.swept, st.dry = true, false
		return nil
	}
	stats := st.tailer.Stats()
	if stats.Refused > 0 {
		return fmt.Errorf("%d files were not shipped: one host may have %d sources or so; exclude some, or ship them under further host names", stats.Refused, len(st.table.Sources))
	}
	if stats.Unreadable > 0 {
		return fmt.Errorf("%d files were not shipped: they, or their directories, cannot be read", stats.Unreadable)
	}
	return errDone
}
