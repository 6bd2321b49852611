// Package receiver archives the partitions of the hosts that it owns.
//
// The walk of a batch: the fetcher reads it from the partition's stream in strict order and decodes it (fetch.go); the appender writes its bytes to the archive's
// files at once, where readers see them (append.go), and draws the borders of commits; the committer makes a group durable, moves the floor in the partition's
// record by compare-and-set, and only then acks (commit.go); the keeper writes the hosts' tables to the hub and purges what they cover (keep.go, shrink.go). Before
// all that a tenure takes the partition over: it reads the record, reconciles the archive with it, and becomes the owner (tenure.go, record.go, member.go).
//
// Guarantees: the floor covers only what this archive has synced; what is purged is below the floor and in a table; what a later owner archived again is set aside here
// before anything else happens; a message that cannot be appended is kept whole and named in the ledger. A full or broken disk stops a partition and
// loses nothing. Not guaranteed: that the consumer's state means anything. It delivers and reports; the record decides.
//
// Each partition has a tenure with four goroutines (fetch, append, commit, keep) that hand deliveries, groups and tables on; any fault ends the tenure, and a new
// one begins behind the committed sequence. Partitions share the archive and nothing else.
//
//	r, err := receiver.New(nc, archive, receiver.DefaultConfig()) // nc: account LOGS of the hub
//	err = r.Run(ctx)
package receiver
