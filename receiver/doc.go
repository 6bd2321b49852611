// Package receiver archives the partitions of the hosts that it owns, as one of several receivers or alone.
//
// The walk of a batch: the fetcher reads it from the partition's stream in strict order and decodes it (fetch.go); the appender writes its bytes to the archive's
// files at once, where readers see them (append.go), and draws the borders of commits; the committer makes a group durable, moves the floor in the partition's
// record by compare-and-set, and only then acks (commit.go); the tabler writes the hosts' tables to the hub (tables.go).
//
// The walk of a partition: a tenure reads the record and reconciles the archive with it, whoever owns the partition; reads again what a restored archive lacks
// (heal.go); waits until the coordinator wants this archive to own it and nobody else does any more, and takes it over by compare-and-set; archives until another
// is wanted, then releases it with its last floor in one write (tenure.go, record.go; key.go reads and writes keys).
//
// The fleet: each receiver keeps a lease and watches those of the others (lease.go, member.go, roster.go). One of them is elected coordinator: it writes
// wishes, who should own what (coordinator.go, wish.go), and purges what is archived (keep.go, shrink.go). A session holds all that for one layout of the
// hub (session.go, layout.go).
//
// Guarantees: the floor covers only what this archive has synced; what is purged is below the floor and in a table; what a later owner archived again is set aside here
// before anything else happens; a message that cannot be appended is kept whole and named in the ledger. A full or broken disk stops a partition and
// loses nothing. Wishes, leases and clocks decide only who tries: a receiver that was frozen, a coordinator that was deposed, a late write do no harm, for
// every write of a record expects the one read last. Not guaranteed: that the consumer's state means anything. It delivers and reports; the record decides.
//
// Each partition has one goroutine that waits for its turn, and a tenure has four (fetch, append, commit, table) that hand deliveries, groups and tables on; any
// fault ends the tenure, and a new one begins behind the committed sequence. Partitions share the archive and nothing else.
//
//	r, err := receiver.New(nc, archive, receiver.DefaultConfig()) // nc: account LOGS of the hub
//	err = r.Run(ctx)
package receiver
