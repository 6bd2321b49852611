// Package election lets one process of many do a duty: [Run] competes for a lease, a key in a NATS JetStream bucket, and calls a function for as
// long as it holds it.
//
// The walk of a lease: a candidate creates the key, which only one can (win.go), and the revision of that is its term; the keeper
// renews the key by its last revision every third of the TTL, beside the leader's function, and ends that function's ctx when the lease is over (keep.go); when the function
// has returned the key is deleted, again by revision (hub.go). Everybody watches the key (follow.go): a leader hears at once that it was deposed, a candidate that
// the key is free. A key that ended with its TTL is told to nobody, so candidates time it from when they last saw it change. Observe and Current tell who leads (observe.go).
//
// # What is guaranteed
//
// The ctx of a leader ends at the latest 4/5 of the TTL after the moment before its last successful renewal was sent, by the local monotonic clock. The
// hub keeps the key for a whole TTL after it stored that renewal, and it stored it later than that moment. So a leader that runs has a fifth of the TTL to
// notice, and to return, before anyone else can win; whether it hears from the hub, how late its answers come, and what is done to wall clocks on its machine changes nothing.
//
// Terms grow with every leadership. In one process a leader's function is never called before the last call has returned.
//
// A leader that resigns is followed within milliseconds; one that crashed, within TTL + 1 s.
//
// # What is not
//
// No lease keeps a process from running that was stopped and goes on: between any two instructions of the leader a minute may pass (SIGSTOP, a
// paused machine, a long swap). It is told at once when it goes on, but what it was about to do may be done first. So what a leader writes must carry its term, or the revision that it
// read, and be refused when a later one has written: that is the fence, and the only proof against two leaders.
//
// The same holds where these are not given:
//   - The monotonic clock. Go's counts on while a process is stopped, but on Linux and macOS not while the machine is suspended: after that, a leader may lead
//     on until its next renewal is refused, at most a third of the TTL.
//   - The hub's clock. Hubs end keys by their wall clock: one that steps ahead, or a stream leader that is ahead of the one before it, takes that off the lease.
//     Keep hubs' clocks within a tenth of the TTL.
//   - The key. Who deletes it by force lets another win while the leader still hears of it: milliseconds with a good connection, a third of the TTL at most. Overwriting
//     is better: a value that no candidate wrote is a lease of nobody, which ends with its TTL.
//   - The bucket. When it is deleted and made anew, terms begin again at 1. A memory bucket of one replica does that with every restart of its hub.
//   - The leader. A function that goes on after its ctx ended is a second leader by choice.
//
// # Ownership
//
// Run and Observe block until all they started has ended; what lead and see do happens in the caller's goroutine. The bucket is the caller's: with a TTL of
// Config.TTL, on file, history 1, no per-key TTLs, and no keys but such leases and what may end as they do.
//
//	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "LEADERS", TTL: 2 * time.Second})
//	cfg := election.DefaultConfig()
//	cfg.ID = hostname
//	err = election.Run(ctx, kv, "sweeper", cfg, func(ctx context.Context, term uint64) error {
//		return sweep(ctx, term) // until ctx ends
//	})
package election
