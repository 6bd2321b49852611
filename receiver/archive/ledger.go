package archive

import (
	"fmt"
	"iter"

	"go.etcd.io/bbolt"
)

// Reasons of ledger entries that the archive itself makes; an agent's declarations bring their own.
const (
	ReasonUnexplained = "unexplained"      // a chunk began beyond the position, and nobody said why
	ReasonRestored    = "archive-restored" // the archive came from an old copy, and the stream has no longer what it lacks
	ReasonQuarantined = "quarantined"      // the message that held the bytes is in quarantine/
	ReasonBroken      = "chain-broken"     // a message does not name the one before it: the hub has lost the bytes of one, or one is not the host's agent's
	ReasonDamaged     = "file-damaged"     // a file of the archive is gone or shorter than committed
)

// Entry is one fact about bytes that the archive does not hold as they were written. Entries are set elements.
type Entry struct {
	Host       string `json:"host"`
	Source     string `json:"source,omitempty"` // "" when the message did not say
	Generation uint64 `json:"generation,omitempty"`
	From       int64  `json:"from"`
	To         int64  `json:"to"` // -1: nobody can know where the bytes would have ended
	Reason     string `json:"reason"`
	Stream     string `json:"stream"` // where the message stands that caused it
	Epoch      uint64 `json:"epoch"`
	Sequence   uint64 `json:"sequence"`
}

// Missing is how many bytes the entry says are missing; 0 when that is not known.
func (e Entry) Missing() int64 { return max(0, e.To-e.From) }

// key identifies an entry by its content, so that a message read twice does not double it. Without a source only the message tells entries apart.
func (e *Entry) key() []byte {
	k := encoder{b: append([]byte(e.Host), 0)}
	k.string(e.Source)
	k.b = append(k.b, keyUints(e.Generation, uint64(e.From))...)
	k.int(e.To)
	k.string(e.Reason)
	if e.Source == "" {
		k.string(e.Stream)
		k.uint(e.Sequence)
	}
	return k.b
}

// value holds the entry whole; a key may exceed what the index allows, its hash then stands for it.
func (e *Entry) value() []byte {
	v := encoder{}
	v.string(e.Host)
	v.string(e.Source)
	v.uint(e.Generation)
	v.int(e.From)
	v.int(e.To)
	v.string(e.Reason)
	v.string(e.Stream)
	v.uint(e.Epoch)
	v.uint(e.Sequence)
	return v.b
}

func decodeEntry(b []byte) (Entry, error) {
	d := decoder{b: b}
	e := Entry{
		Host: d.string(), Source: d.string(), Generation: d.uint(), From: d.int(), To: d.int(),
		Reason: d.string(), Stream: d.string(), Epoch: d.uint(), Sequence: d.uint(),
	}
	return e, d.end()
}

// ledgerKey is the entry's key as the index takes it.
func (e *Entry) ledgerKey() []byte {
	k := e.key()
	if len(k) <= 1024 {
		return k
	}
	return append(append([]byte(e.Host), 0), hash(string(k))...)
}

// Ledger walks all entries, host by host.
func (r *Reader) Ledger() iter.Seq2[Entry, error] { return ledger(r.db, nil) }

// LedgerOf walks the entries of one host.
func (r *Reader) LedgerOf(host string) iter.Seq2[Entry, error] {
	return ledger(r.db, append([]byte(host), 0))
}

func ledger(db *bbolt.DB, prefix []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for pair, err := range pages(db, bucketLedger, prefix) {
			var e Entry
			if err == nil {
				e, err = decodeEntry(pair.value)
			}
			if err != nil {
				err = fmt.Errorf("read ledger: %w", err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
