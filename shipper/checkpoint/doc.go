// Package checkpoint remembers, in the state directory of an agent, which bytes the hub has acknowledged.
//
// The chain at the hub is the truth; this is a hint that saves work and tells what cannot be told from there: where a file stood when it was
// last seen (Path), how big it had become (Seen: bytes that were there and are gone are missing), what was acknowledged on a
// chain that has since lost its end (rule P9), and which rotated files had been shipped that the chain has forgotten. So the store may lag behind, be wiped, be restored from a backup or be cloned: that
// costs another look at the files, never a byte.
//
// The walk: tail gives the generations that changed, Save writes them with the chain they belong to in one durable transaction (store.go, entry.go),
// Load gives them back after a restart. Every value carries a sum (seal.go). Open reads the store that it finds without relying on it (verify.go), goes on with a fresh copy,
// and moves a damaged one aside.
//
// One process holds a store at a time, by a lock on the state directory (lock.go); one goroutine uses it.
package checkpoint
