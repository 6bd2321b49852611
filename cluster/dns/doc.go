// Package dns is the adapter for nodes whose addresses are in DNS: headless services of Kubernetes, services of docker compose, Consul, or a
// zone kept by hand.
//
// The walk of an address: the names are read from the config (name.go), all of them are looked up at once, each as A and AAAA or as SRV
// (lookup.go), by one DNS server or those of the system (resolver.go), and what they answer is the list of peers (adapter.go). The address among
// them that is one of the machine's own is this node's (own.go), unless the config says it.
//
// Guarantees: Peers is complete or an error. When one name cannot be looked up, because its server does not answer or says that it cannot, what other
// names answered is not given either: a list that lacks some nodes for no reason of theirs would make the others drop their routes.
// That a name does not exist, or has no address, is an answer: it has no nodes now, which is how all these platforms say that one is gone.
// That is told in the log when it changes, for it may as well be a typo. When no name has any address, that is an error: the node
// that asks is one itself.
// A node is one address: of a name that has IPv4 and IPv6 addresses only the IPv4 ones are taken. Counted twice, a node would be waited for twice when
// the cluster is founded. Not guaranteed: that a node with several addresses of one kind under one name is counted once; give it one.
//
// In Kubernetes the headless service needs publishNotReadyAddresses: true. Otherwise nodes are not in DNS until they are ready, and
// they are not ready until they have found each other.
//
// An Adapter keeps which names had no address; its methods are called by one goroutine at a time.
//
//	a, err := dns.New(dns.Config{Names: []string{"_cluster._tcp.hub.default.svc.cluster.local"}, Nodes: 3, Logger: log})
//	a, err := dns.New(dns.Config{Names: []string{"hub-1:6222", "hub-2:6222", "hub-3:6222"}, Nodes: 3, Logger: log})
package dns
