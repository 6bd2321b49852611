package invariants

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

// Hub is what a hub says of its partitions.
type Hub []Partition

// Partition is one stream and its record.
type Partition struct {
	Stream  string
	Created time.Time
	Last    uint64 // sequence of the last message that was ever stored
	Record  handover.Record
	Chains  []Chain
}

// Chain is what the stream holds of one host.
type Chain struct {
	Host  string
	Table wire.Table // as it stands in the bucket; zero if there is none
	Links []Link     // ascending
}

// Link is one stored message.
type Link struct {
	Sequence uint64
	Expected uint64      // sequence of the one before it, as it says
	Batch    *wire.Batch // nil: it is none
}

// Archive is what an archive says of itself.
type Archive struct {
	ID      string
	Held    map[string][]handover.Held // by stream
	Extents []Extent
	Ledger  []Missing
}

// Extent is what is archived of one generation.
type Extent struct {
	Host, Source string
	Generation   uint64
	Ranges       []Bytes // of its segments
}

// Missing is a ledger entry that names bytes.
type Missing struct {
	Host, Source string
	Generation   uint64
	Bytes
}

// Bytes is [From, To) of a generation; To -1: nobody knows where they would have ended.
type Bytes struct{ From, To int64 }

// Violation is one thing that must not be.
type Violation struct {
	Rule  string // one of the words of the package comment
	Where string
	What  string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Rule, v.Where, v.What) }

// Check lists all violations.
func Check(hub Hub, archives []Archive) []Violation {
	c := checker{archives: archives}
	for _, p := range hub {
		c.partition(p)
	}
	return c.found
}

type checker struct {
	archives []Archive
	found    []Violation
}

func (c *checker) report(rule, where, format string, args ...any) {
	c.found = append(c.found, Violation{Rule: rule, Where: where, What: fmt.Sprintf(format, args...)})
}

func (c *checker) partition(p Partition) {
	kept := c.kept(p)
	c.once(p, kept)
	c.held(p, kept)
	c.floor(p)
	c.purges(p)
	for _, chain := range p.Chains {
		c.links(p, chain)
		c.positions(p, chain)
	}
}

// span is messages (after, to] that an archive holds for good.
type span struct {
	after, to uint64
	owner     string
}

// kept is what counts of what the archives hold: no later epoch began below it.
func (c *checker) kept(p Partition) []span {
	var all []span
	for _, a := range c.archives {
		for _, h := range a.Held[p.Stream] {
			if to := min(h.To, p.Record.Bound(h.Epoch)); to > h.After {
				all = append(all, span{h.After, to, fmt.Sprintf("archive %s in epoch %d", a.ID, h.Epoch)})
			}
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.after, b.after) })
	return all
}

func (c *checker) once(p Partition, kept []span) {
	for i := 1; i < len(kept); i++ {
		if a, b := kept[i-1], kept[i]; b.after < a.to {
			c.report("twice", p.Stream, "messages %d to %d are held by %s and by %s", b.after+1, min(a.to, b.to), a.owner, b.owner)
		}
	}
}

func (c *checker) held(p Partition, kept []span) {
	var end uint64
	for _, s := range kept {
		if s.after > end && end < p.Record.Floor {
			c.report("unheld", p.Stream, "messages %d to %d are in no archive; the floor is %d", end+1, min(s.after, p.Record.Floor), p.Record.Floor)
		}
		end = max(end, s.to)
	}
	if end < p.Record.Floor {
		c.report("unheld", p.Stream, "messages %d to %d are in no archive; the floor is %d", end+1, p.Record.Floor, p.Record.Floor)
	}
}

// floor is checked for the owner, if its archive is among those at hand.
func (c *checker) floor(p Partition) {
	for _, a := range c.archives {
		if committed := a.committed(p); a.ID == p.Record.Owner && committed < p.Record.Floor {
			c.report("early", p.Stream, "the floor is %d, its owner %s has committed %d", p.Record.Floor, a.ID, committed)
		}
	}
}

// committed is the end of what the archive holds under the record's epoch; as long as it has committed nothing, where that began.
func (a *Archive) committed(p Partition) uint64 {
	for _, h := range a.Held[p.Stream] {
		if h.Epoch == p.Record.Epoch {
			return h.To
		}
	}
	for _, e := range p.Record.Epochs {
		if e.Epoch == p.Record.Epoch {
			return e.Start
		}
	}
	return 0
}

// purges finds messages that are gone without being archived, and hosts without a head. One that has sent nothing in this layout of the hub has a table that says so.
func (c *checker) purges(p Partition) {
	there := map[uint64]bool{}
	for _, chain := range p.Chains {
		for _, l := range chain.Links {
			there[l.Sequence] = true
		}
		if len(chain.Links) == 0 && chain.Table.Sequence > 0 {
			c.report("purged", chain.Host, "no message of it is in %s, not even its head", p.Stream)
		}
	}
	for s := p.Record.Floor + 1; s <= p.Last; s++ {
		if !there[s] {
			c.report("purged", p.Stream, "message %d is gone, the floor is %d", s, p.Record.Floor)
		}
	}
}

// links: each message names the one before it. Before the first one stands what the table covers.
func (c *checker) links(p Partition, chain Chain) {
	for i, l := range chain.Links {
		switch {
		case i > 0 && l.Expected != chain.Links[i-1].Sequence:
			c.report("unlinked", chain.Host, "message %d of %s names %d, before it stands %d", l.Sequence, p.Stream, l.Expected, chain.Links[i-1].Sequence)
		case i == 0 && l.Expected > chain.Table.Sequence:
			c.report("unlinked", chain.Host, "message %d of %s names %d, which is gone, and the table ends at %d", l.Sequence, p.Stream, l.Expected, chain.Table.Sequence)
		}
	}
}
