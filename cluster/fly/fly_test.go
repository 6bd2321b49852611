package fly_test

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/fly"
)

var _ cluster.Adapter = (*fly.Adapter)(nil)

// vm is a started machine as Fly's DNS has it.
type vm struct{ id, region, group, ip string }

// fleet is an app of three regions, with a process group beside the one of the nodes.
var fleet = []vm{
	{"1a", "iad", "hub", "fdaa:0:1::1a"},
	{"1b", "iad", "hub", "fdaa:0:1::1b"},
	{"2a", "fra", "hub", "fdaa:0:2::2a"},
	{"3a", "syd", "hub", "fdaa:0:3::3a"},
	{"9a", "iad", "web", "fdaa:0:1::9a"},
	{"9b", "gru", "web", "fdaa:0:4::9b"},
}

// serve answers for an app as Fly's DNS does: one TXT record of all machines, in pieces when it is long, and an address for each name.
func serve(server *clustertest.DNS, machines []vm) {
	names := map[string][]string{}
	var listed []string
	for _, m := range machines {
		listed = append(listed, m.id+" "+m.region)
		for _, name := range []string{"logs.internal", m.region + ".logs.internal", m.group + ".process.logs.internal", m.id + ".vm.logs.internal"} {
			names[name] = append(names[name], "AAAA "+m.ip)
		}
	}
	for name, records := range names {
		server.Set(name, records...)
	}
	text := strings.Join(listed, ",")
	var pieces []string
	for piece := range slices.Chunk([]byte(text), 255) {
		pieces = append(pieces, `"`+string(piece)+`"`)
	}
	server.Set("vms.logs.internal", "TXT "+strings.Join(pieces, " "))
}

func environment(m vm) map[string]string {
	return map[string]string{
		"FLY_MACHINE_ID": m.id, "FLY_APP_NAME": "logs", "FLY_PROCESS_GROUP": m.group, "FLY_REGION": m.region,
		"FLY_PRIVATE_IP": m.ip, "PRIMARY_REGION": "iad",
	}
}

func adapter(t *testing.T, server *clustertest.DNS, m vm, cfg fly.Config) *fly.Adapter {
	t.Helper()
	env := environment(m)
	cfg.Cluster, cfg.Nodes, cfg.Server = "logs", 3, server.Address()
	cfg.Getenv = func(name string) string { return env[name] }
	a, err := fly.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func names(port int, ids ...string) (list []string) {
	for _, id := range ids {
		list = append(list, fmt.Sprintf("%s.vm.logs.internal:%d", id, port))
	}
	return list
}

func TestShapes(t *testing.T) {
	server := clustertest.StartDNS(t)
	serve(server, fleet)
	gateways := map[string][]string{"logs-iad": names(7244, "1a", "1b"), "logs-fra": names(7244, "2a"), "logs-syd": names(7244, "3a")}
	for _, c := range []struct {
		name  string
		m     vm
		cfg   fly.Config
		self  cluster.Self
		peers cluster.Peers
	}{
		{
			"a region of two", fleet[0],
			fly.Config{Shape: fly.Regions},
			cluster.Self{Name: "fly-1a", Host: "1a.vm.logs.internal", Cluster: "logs-iad", Nodes: 3, Region: "iad"},
			cluster.Peers{Routes: names(4244, "1a", "1b"), Gateways: gateways},
		},
		{
			"a region of one", fleet[2],
			fly.Config{Shape: fly.Regions},
			cluster.Self{Name: "fly-2a", Host: "2a.vm.logs.internal", Cluster: "logs-fra", Nodes: 3, Region: "fra"},
			cluster.Peers{Routes: names(4244, "2a"), Gateways: gateways},
		},
		{
			"the hub", fleet[1],
			fly.Config{Shape: fly.HubAndSpoke},
			cluster.Self{Name: "fly-1b", Host: "1b.vm.logs.internal", Cluster: "logs", Nodes: 3, Region: "iad", Domain: "hub"},
			cluster.Peers{Routes: names(4244, "1a", "1b")},
		},
		{
			"a spoke", fleet[3],
			fly.Config{Shape: fly.HubAndSpoke},
			cluster.Self{Name: "fly-3a", Host: "3a.vm.logs.internal", Cluster: "logs-syd-3a", Nodes: 1, Region: "syd", Spoke: true, Domain: "leaf-syd-3a"},
			cluster.Peers{Leaves: names(7422, "1a", "1b")},
		},
		{
			"other ports", fleet[2],
			fly.Config{Shape: fly.Regions, ClusterPort: 1, GatewayPort: 2, LeafPort: 3},
			cluster.Self{Name: "fly-2a", Host: "2a.vm.logs.internal", Cluster: "logs-fra", Nodes: 3, Region: "fra"},
			cluster.Peers{Routes: names(1, "2a"), Gateways: map[string][]string{"logs-iad": names(2, "1a", "1b"), "logs-fra": names(2, "2a"), "logs-syd": names(2, "3a")}},
		},
		{
			"other ports of a spoke", fleet[2],
			fly.Config{Shape: fly.HubAndSpoke, LeafPort: 3},
			cluster.Self{Name: "fly-2a", Host: "2a.vm.logs.internal", Cluster: "logs-fra-2a", Nodes: 1, Region: "fra", Spoke: true, Domain: "leaf-fra-2a"},
			cluster.Peers{Leaves: names(3, "1a", "1b")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := adapter(t, server, c.m, c.cfg)
			if self, err := a.Self(t.Context()); err != nil || self != c.self {
				t.Errorf("self is %+v (%v), want %+v", self, err, c.self)
			}
			if peers, err := a.Peers(t.Context()); err != nil || !reflect.DeepEqual(peers, c.peers) {
				t.Errorf("peers are %+v (%v), want %+v", peers, err, c.peers)
			}
		})
	}
}

func wantRoutes(t *testing.T, a *fly.Adapter, ids ...string) {
	t.Helper()
	if peers, err := a.Peers(t.Context()); err != nil || !reflect.DeepEqual(peers.Routes, names(4244, ids...)) {
		t.Errorf("peers are %+v (%v), want routes to %v", peers, err, ids)
	}
}

func TestMachinesComeMoveAndGo(t *testing.T) {
	server := clustertest.StartDNS(t)
	serve(server, fleet[:1])
	a := adapter(t, server, fleet[0], fly.Config{Shape: fly.Regions})
	wantRoutes(t, a, "1a")
	serve(server, fleet)
	wantRoutes(t, a, "1a", "1b")

	moved := slices.Clone(fleet)
	moved[1].ip = "fdaa:0:77::1b"
	serve(server, moved)
	wantRoutes(t, a, "1a", "1b")

	server.Delete("1b.vm.logs.internal") // it stops, and the list has it for a moment longer
	server.Set("hub.process.logs.internal", "AAAA fdaa:0:1::1a", "AAAA fdaa:0:2::2a", "AAAA fdaa:0:3::3a")
	wantRoutes(t, a, "1a")
	serve(server, append(slices.Clone(fleet[:1]), fleet[2:]...))
	wantRoutes(t, a, "1a")
}

// A machine that starts between two questions is in the answer to the second only.
func TestStartsBetweenQuestions(t *testing.T) {
	server := clustertest.StartDNS(t)
	serve(server, fleet[:1])
	a := adapter(t, server, fleet[0], fly.Config{Shape: fly.Regions})
	server.Before("hub.process.logs.internal", "AAAA", func() { serve(server, fleet[:2]) })
	wantRoutes(t, a, "1a", "1b")
}

func TestManyMachines(t *testing.T) {
	server := clustertest.StartDNS(t)
	var machines []vm
	var ids []string
	for i := range 120 {
		id := fmt.Sprintf("%014x", i+1)
		ids = append(ids, id)
		machines = append(machines, vm{id, "iad", "hub", netip.MustParseAddr(fmt.Sprintf("fdaa::%x", i+1)).String()})
	}
	serve(server, machines)
	wantRoutes(t, adapter(t, server, machines[0], fly.Config{Shape: fly.Regions}), ids...)
}

// A spoke that starts before its hub knows that it is one.
func TestSpokeBeforeHub(t *testing.T) {
	server := clustertest.StartDNS(t)
	serve(server, fleet[2:4])
	a := adapter(t, server, fleet[3], fly.Config{Shape: fly.HubAndSpoke})
	want := cluster.Peers{Leaves: []string{"iad.logs.internal:7422"}}
	if peers, err := a.Peers(t.Context()); err != nil || !reflect.DeepEqual(peers, want) {
		t.Errorf("peers are %+v (%v), want %+v", peers, err, want)
	}
	serve(server, fleet)
	want = cluster.Peers{Leaves: names(7422, "1a", "1b")}
	if peers, err := a.Peers(t.Context()); err != nil || !reflect.DeepEqual(peers, want) {
		t.Errorf("peers are %+v (%v), want %+v", peers, err, want)
	}
}

func TestFailures(t *testing.T) {
	server := clustertest.StartDNS(t)
	for _, c := range []struct {
		name string
		do   func()
		want []string
	}{
		{"no list", func() { server.Fail("vms.logs.internal", "TXT", "SERVFAIL") }, []string{"list machines", "vms.logs.internal"}},
		{"an empty list", func() { server.Delete("vms.logs.internal") }, []string{"names none, not even this one", "FLY_APP_NAME"}},
		{"a list of another form", func() { server.Set("vms.logs.internal", `TXT "1a iad 4"`) }, []string{`"1a iad 4"`, "Fly has changed it"}},
		{"another region than the environment says", func() { server.Set("vms.logs.internal", `TXT "1a fra"`) }, []string{`region "fra"`, `"iad"`}},
		{"no group", func() { server.Delete("hub.process.logs.internal") }, []string{"process group", "hub.process.logs.internal has no address"}},
		{"the group fails", func() { server.Fail("hub.process.logs.internal", "AAAA", "SERVFAIL") }, []string{"process group", "hub.process.logs.internal"}},
		{"machines fail, each is told", func() {
			server.Fail("1b.vm.logs.internal", "AAAA", "SERVFAIL")
			server.Fail("3a.vm.logs.internal", "AAAA", "SERVFAIL")
		}, []string{"look up machines", "1b.vm.logs.internal", "3a.vm.logs.internal"}},
		{"a member that is no machine", func() { server.Set("hub.process.logs.internal", "AAAA fdaa:0:1::1a", "AAAA fdaa:0:1::ff") }, []string{"fdaa:0:1::ff", "of no machine in vms.logs.internal"}},
		{"no answer", func() { server.Mute("vms.logs.internal", "TXT") }, []string{"vms.logs.internal", "timeout"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			serve(server, fleet)
			c.do()
			cfg := fly.Config{Shape: fly.Regions, Timeout: 30 * time.Second}
			if c.name == "no answer" {
				cfg.Timeout = 300 * time.Millisecond
			}
			peers, err := adapter(t, server, fleet[0], cfg).Peers(t.Context())
			if err == nil || !reflect.DeepEqual(peers, cluster.Peers{}) {
				t.Fatalf("peers are %+v (%v), want none and an error", peers, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error is %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	whole := environment(fleet[0])
	for _, c := range []struct {
		name    string
		shape   fly.Shape
		without []string
		want    []string // in the error; none: there is none
	}{
		{"whole", fly.HubAndSpoke, nil, nil},
		{"regions need no primary", fly.Regions, []string{"PRIMARY_REGION"}, nil},
		{"hub and spoke does", fly.HubAndSpoke, []string{"PRIMARY_REGION"}, []string{"PRIMARY_REGION"}},
		{"all missing are named at once", fly.HubAndSpoke, slices.Collect(maps.Keys(whole)), []string{"FLY_MACHINE_ID", "FLY_APP_NAME", "FLY_PROCESS_GROUP", "FLY_REGION", "FLY_PRIVATE_IP", "PRIMARY_REGION"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := maps.Clone(whole)
			for _, name := range c.without {
				delete(env, name)
			}
			_, err := fly.New(fly.Config{Cluster: "logs", Shape: c.shape, Getenv: func(name string) string { return env[name] }})
			if c.want == nil && err != nil {
				t.Errorf("error is %v, want none", err)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want %q in it", err, want)
				}
			}
		})
	}
	whole["FLY_PRIVATE_IP"] = "nonsense"
	if _, err := fly.New(fly.Config{Cluster: "logs", Shape: fly.Regions, Getenv: func(name string) string { return whole[name] }}); err == nil || !strings.Contains(err.Error(), `FLY_PRIVATE_IP "nonsense"`) {
		t.Errorf("error is %v, want one about FLY_PRIVATE_IP", err)
	}
	for name, value := range environment(fleet[0]) {
		t.Setenv(name, value)
	}
	if _, err := fly.New(fly.Config{Cluster: "logs", Shape: fly.HubAndSpoke}); err != nil {
		t.Errorf("the environment of the process: %v", err)
	}
}

func TestConfig(t *testing.T) {
	_, err := fly.New(fly.Config{Cluster: "a b", Shape: "ring", Nodes: -1, ClusterPort: -1, GatewayPort: 70000, LeafPort: 70001, Server: "fdaa::3", Timeout: -1})
	for _, want := range []string{`cluster name "a b"`, `shape "ring"`, "-1 nodes", "cluster port -1", "gateway port 70000", "leaf port 70001", `server "fdaa::3"`, "timeout -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
}
