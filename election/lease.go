package election

import (
	"crypto/rand"
	"encoding/json"
	"time"
)

// claim is the key's value, as JSON for people with the nats CLI.
type claim struct {
	ID      string `json:"id"`
	Session string `json:"session"`        // random, of one candidacy: tells own writes whose outcome was unknown from those of others
	Term    uint64 `json:"term,omitempty"` // absent in the value that won: the term is its revision, known only when it is written
}

// parse reads the value of a revision. One that is not ours to understand gives an empty claim: a lease of nobody we know, that ends with its TTL like any.
func parse(value []byte, revision uint64) claim {
	var c claim
	if json.Unmarshal(value, &c) != nil || c.Session == "" {
		return claim{}
	}
	if c.Term == 0 {
		c.Term = revision
	}
	return c
}

// covers says whether found was written for the same leadership, or for the one that a candidate, which knows no term yet, may have won.
func (c claim) covers(found claim) bool {
	return found.Session == c.Session && (c.Term == 0 || found.Term == c.Term)
}

// value is what the key is to hold.
func (c claim) value() []byte {
	data, err := json.Marshal(c)
	if err != nil { // two strings and a number
		panic(err)
	}
	return data
}

// lease is what its holder knows of it.
type lease struct {
	claim
	revision uint64    // of the key, the latest known to be ours
	until    time.Time // by the monotonic clock: the leader has been told to stop by then
}

func newLease(id string) *lease { return &lease{claim: claim{ID: id, Session: rand.Text()}} }

// live says whether the lease holds. Nothing but the local monotonic clock decides that.
func (l *lease) live() bool { return time.Now().Before(l.until) }
