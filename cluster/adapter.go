package cluster

import (
	"context"
	"time"
)

// Adapter tells a node about the platform it runs on: who it is, and who its peers are. The folders static, dns, fly and aws hold those of
// logdrive; any other package may bring its own. Its methods are called by one goroutine at a time.
type Adapter interface {
	// Self describes this node. It is asked before anything starts, and again after an error until ctx ends.
	Self(ctx context.Context) (Self, error)
	// Peers lists the nodes as the platform knows them now; whether this one is among them does not matter. It is asked again every few
	// seconds for as long as the node runs. After an error the node stays with the peers it knows, says so in its log, and is not ready.
	Peers(ctx context.Context) (Peers, error)
}

// Self is what a platform says of a node.
type Self struct {
	Name    string // what the platform calls it; the server's name is this and a random part that is kept in the store, since a new disk must never come back under an old name
	Host    string // that peers reach it at; "": the host it listens at
	Cluster string // name of the cluster it belongs to; "": the one in the config
	Nodes   int    // how many nodes found the cluster; 0: the number in the config
	Region  string // "": unknown
	Zone    string // nodes of one zone may fail together; "": unknown
	Spoke   bool   // it is no member of a cluster, whatever the config says, but linked as a leaf to the hub that Peers names
	Domain  string // of JetStream; "": the one in the options
}

// Peers are the nodes around one, as host:port of their listeners.
type Peers struct {
	Routes   []string            // cluster listeners of this node's own cluster
	Gateways map[string][]string // gateway listeners of the clusters around it, by the name of the cluster; its own may be among them
	Leaves   []string            // leaf listeners of the hub; for a spoke
}

// Reporter is an Adapter that tells its platform how the node is.
type Reporter interface {
	// Report is called when the status changes, and every ten seconds beside that.
	Report(ctx context.Context, s Status) error
}

// State is a step in the life of a node.
type State string

// States, in the order in which a node goes through them. A broken node may work again.
const (
	Starting State = "starting" // not yet a member that serves
	Working  State = "working"
	Broken   State = "broken"  // JetStream does not serve here, for longer than a restart or an election takes
	Leaving  State = "leaving" // what it holds is being moved to the others
	Left     State = "left"    // for good: the platform may take machine and disk away
)

// Status is how a node is.
type Status struct {
	State  State
	Reason string // why it is broken, or leaves
}

// Ender is an Adapter that learns when its platform takes the node away.
type Ender interface {
	// Ending blocks until the platform announces the end of this node, or ctx ends. An error is logged, and Ending is called again.
	Ending(ctx context.Context) (Ending, error)
}

// Ending is the announced end of a node.
type Ending struct {
	Reason  string
	ForGood bool      // the disk goes with the machine: the node must leave, not just stop
	Before  time.Time // when the platform ends it; zero: not known
}
