package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
	"github.com/logdrive/logdrive/receiver/archive"
	"github.com/logdrive/logdrive/receiver/handover"
)

// fleet is a hub with several receivers, each on an archive of its own and behind a proxy of its own.
type fleet struct {
	t       *testing.T
	hub     *clustertest.Hub
	config  cluster.HubConfig // to start it again, at the same address
	at      string            // client listener of the hub, or of one of its nodes
	secret  string
	nc      *nats.Conn // to the hub, past all proxies
	js      jetstream.JetStream
	bucket  jetstream.KeyValue
	parts   int
	lease   time.Duration
	nodes   []*node
	agents  []*agent
	truth   map[string][]byte // by host: everything that was shipped
	history *history
}

func newFleet(t *testing.T, lease time.Duration, partitions int, change func(*cluster.HubConfig)) *fleet {
	t.Helper()
	cfg := clustertest.Config()
	cfg.Partitions = partitions
	if change != nil {
		change(&cfg)
	}
	hub := clustertest.Start(t, cfg)
	f := fleetAt(t, lease, partitions, hub.Addresses().Client, hub.Secret())
	f.hub, f.config = hub, cfg
	f.config.StoreDir, f.config.Logger = hub.Dir, clustertest.Logger(t)
	f.config.Listen = strings.TrimPrefix(f.at, "nats://")
	return f
}

// fleetAt is a fleet of a hub that runs already.
func fleetAt(t *testing.T, lease time.Duration, partitions int, at, secret string) *fleet {
	t.Helper()
	f := &fleet{t: t, at: at, secret: secret, parts: partitions, lease: lease, truth: map[string][]byte{}}
	f.nc = f.connect()
	var err error
	if f.js, err = jetstream.New(f.nc); err != nil {
		t.Fatal(err)
	}
	if f.bucket, err = f.js.KeyValue(t.Context(), wire.Bucket); err != nil {
		t.Fatal(err)
	}
	f.history = f.watchHistory()
	return f
}

// connect makes a client that finds the hub again after its restart.
func (f *fleet) connect() *nats.Conn {
	f.t.Helper()
	nc, err := cluster.Connect(f.at, f.secret)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	return nc
}

// node is a receiver, on an archive that outlives its processes.
type node struct {
	*fleet
	*stops
	name, dir, id string
	proxy         *clustertest.Proxy
	change        func(*receiver.Config)
	receiver      *receiver.Receiver // of the process that runs, or ran last
	archive       *archive.Archive
	nc            *nats.Conn
	cancel        context.CancelFunc
	ended         chan struct{}
	err           error        // of Run, once ended is closed
	writes        atomic.Int64 // of records and wishes, that were sent
}

// add makes a node. It does not run yet.
func (f *fleet) add(name string, change func(*receiver.Config)) *node {
	f.t.Helper()
	n := &node{
		fleet: f, stops: newStops(), name: name, dir: filepath.Join(f.t.TempDir(), name),
		proxy: clustertest.StartProxy(f.t, f.at), change: change,
	}
	f.nodes = append(f.nodes, n)
	return n
}

// run adds a node and starts it.
func (f *fleet) run(name string) *node {
	f.t.Helper()
	n := f.add(name, nil)
	n.start()
	return n
}

func (n *node) start() {
	n.t.Helper()
	log := clustertest.Logger(n.t).With("node", n.name)
	cfg := archive.DefaultConfig()
	cfg.Dir, cfg.Logger = n.dir, log
	var err error
	if n.archive, err = archive.Open(cfg); err != nil {
		n.t.Fatal(err)
	}
	n.id = n.archive.ID()
	receiver.SetFault(n.id, n.revive())
	n.nc, err = cluster.Connect(n.proxy.Client(), n.secret, nats.RetryOnFailedConnect(true), nats.SetCustomDialer(n), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(time.Millisecond, time.Millisecond))
	if err != nil {
		n.t.Fatal(err)
	}
	rc := receiver.DefaultConfig()
	rc.Name, rc.Logger, rc.Lease, rc.KeepEvery = n.name, log, n.lease, 100*time.Millisecond
	rc.RetryMin, rc.RetryMax, rc.DrainTime = 20*time.Millisecond, 500*time.Millisecond, 5*time.Second
	if n.change != nil {
		n.change(&rc)
	}
	if n.receiver, err = receiver.New(n.nc, n.archive, rc); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	n.cancel, n.ended = cancel, ended
	go func(r *receiver.Receiver, nc *nats.Conn, a *archive.Archive) {
		defer close(ended)
		n.err = r.Run(ctx)
		nc.Close()
		if err := a.Close(); err != nil {
			n.t.Errorf("close archive of %s: %v", n.name, err)
		}
	}(n.receiver, n.nc, n.archive)
	n.t.Cleanup(n.kill)
}

// Dial connects to the proxy, and counts what is sent there.
func (n *node) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err // a client closes the connection it was given, even beside an error
	}
	return counting{conn, &n.writes}, nil
}

// counting is a connection that counts the writes of records and wishes.
type counting struct {
	net.Conn
	writes *atomic.Int64
}

func (c counting) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.writes.Add(int64(bytes.Count(b, []byte("PUB $KV.LOGDRIVE.record.")) + bytes.Count(b, []byte("PUB $KV.LOGDRIVE.wishes."))))
	return n, err
}

// stop is SIGTERM.
func (n *node) stop() {
	n.t.Helper()
	n.cancel()
	n.end()
	if n.err != nil {
		n.t.Errorf("%s ended with: %v", n.name, n.err)
	}
}

// kill is kill -9: what the process has not done by now it will not do; what it has sent is on its way.
func (n *node) kill() {
	n.stops.kill()
	n.nc.Close()
	n.cancel()
	n.end()
}

func (n *node) end() {
	n.t.Helper()
	select {
	case <-n.ended:
	case <-time.After(clustertest.Patience):
		n.t.Fatalf("%s does not end", n.name)
	}
}

func (n *node) running() bool {
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// blackhole makes the node's network swallow everything: its lease will end.
func (n *node) blackhole() { n.proxy.Blackhole() }

// thaw lets go what the network swallowed, late.
func (n *node) thaw() {
	n.proxy.Heal()
	n.proxy.Release()
}

// record of a partition, as it stands.
func (f *fleet) record(partition int) handover.Record {
	f.t.Helper()
	var r handover.Record
	f.value(wire.RecordKey(1, partition), &r)
	return r
}

func (f *fleet) wishes() receiver.Wishes {
	f.t.Helper()
	var w receiver.Wishes
	f.value(wire.WishesKey(1), &w)
	return w
}

// value reads a key; one that is absent or cannot be read now leaves v as it is.
func (f *fleet) value(key string, v any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	entry, err := f.bucket.Get(ctx, key)
	if err != nil {
		return
	}
	if err := json.Unmarshal(entry.Value(), v); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) until(is func() bool, what string, args ...any) {
	f.t.Helper()
	clustertest.Until(f.t, fmt.Sprintf(what, args...), is)
}

// owns waits until the node owns the partition.
func (n *node) owns(partition int) {
	n.t.Helper()
	n.until(func() bool {
		r := n.record(partition)
		return r.Owner == n.id && !r.Released
	}, "%s owns partition %d", n.name, partition)
}

// owner is the node that owns the partition now.
func (f *fleet) owner(partition int) *node {
	f.t.Helper()
	var owner *node
	f.until(func() bool {
		r := f.record(partition)
		for _, n := range f.nodes {
			if n.id == r.Owner && !r.Released && n.running() {
				owner = n
			}
		}
		return owner != nil
	}, "partition %d is owned", partition)
	return owner
}

// balanced waits until these nodes own all partitions, none more than one beyond another.
func (f *fleet) balanced(nodes ...*node) {
	f.t.Helper()
	f.until(func() bool {
		count := map[string]int{}
		for p := range f.parts {
			if r := f.record(p); !r.Released {
				count[r.Owner]++
			}
		}
		least, most, sum := f.parts, 0, 0
		for _, n := range nodes {
			least, most, sum = min(least, count[n.id]), max(most, count[n.id]), sum+count[n.id]
		}
		return sum == f.parts && most-least <= 1
	}, "%d nodes share the partitions", len(nodes))
}

// host makes an agent of a new host in the partition.
func (f *fleet) host(partition int) *agent {
	f.t.Helper()
	for i := 0; ; i++ {
		name := fmt.Sprintf("h%d-%d", partition, i)
		if _, taken := f.truth[name]; taken {
			continue
		}
		a := &agent{t: f.t, nc: f.nc, host: name}
		a.hello()
		if a.partition() == partition {
			f.truth[name], f.agents = nil, append(f.agents, a)
			return a
		}
	}
}

func (a *agent) partition() int {
	p, err := strconv.Atoi(a.stream[strings.LastIndexByte(a.stream, '-')+1:])
	if err != nil {
		a.t.Fatal(err)
	}
	return p
}

// ship lets a host write n lines, each a batch.
func (f *fleet) ship(a *agent, n int) {
	f.t.Helper()
	for range n {
		line := fmt.Appendf(nil, "%s writes line %d\n", a.host, a.number)
		a.ship(line)
		f.truth[a.host] = append(f.truth[a.host], line...)
	}
}

// flow ships all the time, from every host in turn, until the returned function is called.
func (f *fleet) flow(every time.Duration) (stop func()) {
	f.t.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			for _, a := range f.agents {
				f.ship(a, 1)
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(quit)
			<-done
		}
	}
	f.t.Cleanup(stop)
	for p := range f.parts {
		floor := f.record(p).Floor
		f.until(func() bool { return f.record(p).Floor > floor+3 }, "partition %d is archived", p)
	}
	return stop
}
