package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/logdrive/logdrive/cluster/clustertest"
)

// flyApp is an app of Fly.io: its machines are addresses of loopback, and a DNS server tells of them as Fly's does.
type flyApp struct {
	t                     testing.TB
	dir, secret           string
	dns                   *clustertest.DNS
	machines              []flyMachine
	leaf, client, cluster string // ports, the same on every machine
}

type flyMachine struct{ id, region, ip string }

// newFlyApp makes an app with so many machines in each region.
func newFlyApp(t testing.TB, each int, regions ...string) *flyApp {
	t.Helper()
	a := &flyApp{t: t, dir: tempDir(t), dns: clustertest.StartDNS(t)}
	a.secret = filepath.Join(a.dir, "secret")
	must(t, os.WriteFile(a.secret, []byte("secret of all hubs of the app\n"), 0o600))
	for _, port := range []*string{&a.leaf, &a.client, &a.cluster} {
		_, *port, _ = net.SplitHostPort(clustertest.FreeAddress(t))
	}
	for i, region := range regions {
		for k := range each {
			a.machines = append(a.machines, flyMachine{fmt.Sprintf("%s%d", region, k), region, fmt.Sprintf("127.0.%d.%d", 10+i, 1+k)})
		}
	}
	a.started(a.machines...)
	return a
}

// started makes these the machines that DNS knows.
func (a *flyApp) started(machines ...flyMachine) {
	names := map[string][]string{"hub.process.app.internal": {}}
	for _, m := range a.machines {
		names[m.region+".app.internal"], names[m.id+".vm.app.internal"] = []string{}, []string{}
	}
	listed := make([]string, len(machines))
	for i, m := range machines {
		listed[i] = m.id + " " + m.region
		for _, name := range []string{m.region + ".app.internal", "hub.process.app.internal", m.id + ".vm.app.internal"} {
			names[name] = append(names[name], "A "+m.ip)
		}
	}
	for name, records := range names {
		a.dns.Set(name, records...)
	}
	a.dns.Set("vms.app.internal", fmt.Sprintf("TXT %q", strings.Join(listed, ",")))
}

// of are the machines of a region.
func (a *flyApp) of(region string) (machines []flyMachine) {
	for _, m := range a.machines {
		if m.region == region {
			machines = append(machines, m)
		}
	}
	return machines
}

// hub is a hub node on a machine; command is hub, or receiver for one that archives, too.
func (a *flyApp) hub(m flyMachine, command, peers string, nodes int, more ...string) *role {
	a.t.Helper()
	dir := filepath.Join(a.dir, m.id)
	must(a.t, os.MkdirAll(dir, 0o755))
	r := newRole(a.t, dir, command, append([]string{
		"--store", filepath.Join(dir, "store"), "--secret", a.secret, "--partitions", "2", "--stream-size", "16MiB", "--nodes", fmt.Sprint(nodes),
		"--listen", net.JoinHostPort(m.ip, a.client), "--leaf-listen", net.JoinHostPort(m.ip, a.leaf), "--cluster-listen", net.JoinHostPort(m.ip, a.cluster),
		"--peers", peers + a.dns.Address(),
	}, more...)...).as(m.id)
	return a.on(m, r)
}

// on gives a role the environment of a machine, and the resolver of the app.
func (a *flyApp) on(m flyMachine, r *role) *role {
	r.user = []string{
		"env", resolverVariable + "=" + a.dns.Address(), "FLY_MACHINE_ID=" + m.id, "FLY_APP_NAME=app", "FLY_PROCESS_GROUP=hub", "FLY_REGION=" + m.region,
		"FLY_PRIVATE_IP=" + m.ip, "PRIMARY_REGION=iad",
	}
	r.program = resolving(a.t)
	return r
}

// region is a site with an agent that is told the name of its region.
func (a *flyApp) region(name string) *site {
	a.t.Helper()
	s := &site{t: a.t, dir: filepath.Join(a.dir, name), secret: a.secret}
	s.archiveDir, s.stateDir = s.path("archive"), s.path("state")
	must(a.t, os.MkdirAll(s.path("logs"), 0o755))
	s.agent = a.on(flyMachine{"agent-" + name, name, "127.0.0.1"}, newRole(a.t, s.dir, "agent", "--hub", "nats-leaf://"+name+".app.internal:"+a.leaf,
		"--secret", a.secret, "--host", host, "--state", s.stateDir, s.path("logs/*.log"))).as("agent " + name)
	return s
}

// resolverVariable names the DNS server that a resolving binary asks instead of the system's.
const resolverVariable = "LOGDRIVE_TEST_RESOLVER"

// resolver is what a resolving binary has beside the code.
const resolver = `package main

import (
	"context"
	"net"
	"os"
)

func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, os.Getenv("` + resolverVariable + `"))
	}}
}
`

// buildResolving builds the binary with one more file, laid over the sources: what a machine has in resolv.conf, a process of a test can be told no other way.
var buildResolving = sync.OnceValues(func() (string, error) {
	file, overlay := filepath.Join(work, "resolver.go"), filepath.Join(work, "overlay.json")
	at, err := filepath.Abs("../logdrive/resolver_for_tests.go")
	if err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{at: file}})
	if err != nil {
		return "", err
	}
	for name, text := range map[string][]byte{file: []byte(resolver), overlay: replace} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return "", err
		}
	}
	return compile("logdrive-resolving", "-overlay", overlay)
})

func resolving(t testing.TB) string {
	t.Helper()
	path, err := buildResolving()
	must(t, err)
	return path
}

const regionsOfFly = "fly://logs?server="

// A region is a hub of its own: what is lost with one, the others do not notice, and its agents wait for it.
func TestFlyThreeRegionsOfOne(t *testing.T) {
	slow(t)
	names := []string{"iad", "fra", "syd"}
	a := newFlyApp(t, 1, names...)
	regions := map[string]*site{}
	logs := map[string]*source{}
	for _, name := range names {
		s := a.region(name)
		s.receiver = a.hub(a.of(name)[0], "receiver", regionsOfFly, 1, "--archive", s.archiveDir)
		s.receiver.start()
		s.agent.start()
		regions[name], logs[name] = s, s.newSource("a.log")
		logs[name].lines(100)
	}
	for _, name := range names {
		regions[name].arrived(logs[name])
	}

	regions["iad"].receiver.kill()
	a.started(append(a.of("fra"), a.of("syd")...)...)
	for _, name := range names {
		logs[name].lines(100)
	}
	for _, name := range []string{"fra", "syd"} {
		regions[name].arrived(logs[name])
	}
	a.started(a.machines...)
	regions["iad"].receiver.start()
	for _, name := range names {
		regions[name].arrived(logs[name])
		regions[name].agent.stop()
		regions[name].receiver.stop()
		regions[name].equal(logs[name])
	}
}

func TestFlyTwoRegionsOfThree(t *testing.T) {
	slow(t)
	names := []string{"iad", "fra"}
	a := newFlyApp(t, 3, names...)
	regions := map[string]*site{}
	logs := map[string]*source{}
	for _, name := range names {
		s := a.region(name)
		var clients []string
		for i, m := range a.of(name) {
			s.nodes = append(s.nodes, &hubNode{role: a.hub(m, "hub", regionsOfFly, 3), number: i})
			clients = append(clients, "--hub", "nats://"+net.JoinHostPort(m.ip, a.client))
		}
		s.receiver = newRole(t, s.dir, "receiver", append(clients, "--secret", a.secret, "--archive", s.archiveDir)...).as("receiver " + name)
		for _, r := range s.roles() {
			r.start()
		}
		regions[name], logs[name] = s, s.newSource("a.log")
		logs[name].lines(100)
	}
	for _, name := range names {
		regions[name].arrived(logs[name])
	}
	lost := regions["iad"]
	for _, r := range lost.roles() {
		r.kill()
	}
	a.started(a.of("fra")...)
	s, log := regions["fra"], logs["fra"]
	log.lines(100)
	s.arrived(log)
	s.nodes[0].kill() // one of the region that is left
	log.lines(100)
	s.arrived(log)
	s.agent.stop()
	s.receiver.stop()
	s.equal(log)
}

// A machine outside the primary region stands between its agents and the hub.
func TestFlyHubAndSpoke(t *testing.T) {
	slow(t)
	const spokes = "fly://logs?shape=hub-and-spoke&server="
	a := newFlyApp(t, 1, "iad", "fra")
	iad, fra := a.of("iad")[0], a.of("fra")[0]
	relay := a.hub(fra, "hub", spokes, 1)
	s := a.region("fra")
	s.nodes = append(s.nodes, &hubNode{role: relay})
	s.receiver = a.hub(iad, "receiver", spokes, 1, "--archive", s.archiveDir)
	log := s.newSource("a.log")
	log.lines(100)

	a.started(fra) // the hub is not there yet
	relay.start().ready()
	s.agent.start().ready()
	a.started(a.machines...)
	s.receiver.start().ready()
	s.arrived(log)

	s.receiver.kill()
	log.lines(100)
	s.receiver.start().ready()
	s.arrived(log)
	relay.kill()
	log.lines(100)
	relay.start()
	s.arrived(log)
	s.agent.stop()
	relay.stop()
	s.receiver.stop()
	s.equal(log)
}
