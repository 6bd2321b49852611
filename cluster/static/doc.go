// Package static is the adapter for nodes that are listed: in flags, a file, or a template that somebody else fills in.
//
// The walk of an address: the list is read, checked and written in one form (address.go); the one that is this node's own is found in it
// (own.go), by what the config says or by the addresses of the machine's interfaces; Peers gives the whole list (adapter.go).
//
// Guarantees: every node that is given the same list gets the same peers, in the same order, and a list that cannot found a cluster of the
// size that was said is refused before anything starts, with every fault in one error. Not guaranteed: that anybody answers at those addresses.
// Nothing is looked up but the machine's own interfaces: names stay names, and whoever dials them resolves them anew each time.
//
// An Adapter never changes; it may be used by many goroutines.
//
//	a, err := static.New(static.Config{
//		Peers: []string{"10.0.0.1:6222", "10.0.0.2:6222", "10.0.0.3:6222"},
//		Self:  "10.0.0.2",
//		Nodes: 3,
//	})
package static
