package static_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/static"
)

var _ cluster.Adapter = (*static.Adapter)(nil)

func TestList(t *testing.T) {
	three := []string{"nats-route://10.0.0.1:6222", "10.0.0.2:6222", "Hub-3.example.com.:6222"}
	threeRoutes := []string{"10.0.0.1:6222", "10.0.0.2:6222", "hub-3.example.com:6222"}
	for _, c := range []struct {
		name   string
		cfg    static.Config
		self   cluster.Self
		routes []string
	}{
		{"own host by its IP", static.Config{Peers: three, Self: "10.0.0.2", Nodes: 3}, cluster.Self{Name: "10.0.0.2", Host: "10.0.0.2", Nodes: 3}, threeRoutes},
		{"own host by its name", static.Config{Peers: three, Self: "hub-3.example.com"}, cluster.Self{Name: "hub-3.example.com", Host: "hub-3.example.com", Nodes: 3}, threeRoutes},
		{"own host as a URL", static.Config{Peers: three, Self: "nats-route://10.0.0.1:6222"}, cluster.Self{Name: "10.0.0.1", Host: "10.0.0.1", Nodes: 3}, threeRoutes},
		{
			"several on one machine",
			static.Config{Peers: []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}, Self: "127.0.0.1:2", Name: "b", Region: "r", Zone: "z"},
			cluster.Self{Name: "b", Host: "127.0.0.1", Nodes: 3, Region: "r", Zone: "z"},
			[]string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"},
		},
		{
			"IPv6, whichever way it is written",
			static.Config{Peers: []string{"nats-route://[fdaa:0:0:0:0:0:0:1]:6222", "[fdaa::2]:6222"}, Self: "[fdaa::1]", Nodes: 2},
			cluster.Self{Name: "fdaa::1", Host: "fdaa::1", Nodes: 2},
			[]string{"[fdaa::1]:6222", "[fdaa::2]:6222"},
		},
		{"the machine's own interface", static.Config{Peers: []string{"127.0.0.1:6222", "203.0.113.1:6222", "203.0.113.2:6222"}}, cluster.Self{Name: "127.0.0.1", Host: "127.0.0.1", Nodes: 3}, []string{"127.0.0.1:6222", "203.0.113.1:6222", "203.0.113.2:6222"}},
		{"alone and listed", static.Config{Peers: []string{"10.0.0.1:6222"}, Self: "10.0.0.1", Nodes: 1}, cluster.Self{Name: "10.0.0.1", Host: "10.0.0.1", Nodes: 1}, []string{"10.0.0.1:6222"}},
		{"alone and not listed", static.Config{Nodes: 1}, cluster.Self{Nodes: 1}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := static.New(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			self, err := a.Self(t.Context())
			if err != nil || self != c.self {
				t.Errorf("self is %+v (%v), want %+v", self, err, c.self)
			}
			peers, err := a.Peers(t.Context())
			if want := (cluster.Peers{Routes: c.routes}); err != nil || !reflect.DeepEqual(peers, want) {
				t.Errorf("peers are %+v (%v), want %+v", peers, err, want)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  static.Config
		want []string // each in the error
	}{
		{"nothing", static.Config{}, []string{"no peers are listed"}},
		{"too few", static.Config{Peers: []string{"10.0.0.1:1", "10.0.0.2:1"}, Self: "10.0.0.1", Nodes: 3}, []string{"2 peers are listed for 3 nodes"}},
		{"too many", static.Config{Peers: []string{"10.0.0.1:1", "10.0.0.2:1"}, Self: "10.0.0.1", Nodes: 1}, []string{"2 peers are listed for 1 nodes"}},
		{"none of three", static.Config{Nodes: 3}, []string{"0 peers are listed for 3 nodes"}},
		{"below zero", static.Config{Peers: []string{"10.0.0.1:1"}, Nodes: -1}, []string{"-1 nodes"}},
		{
			"all faults at once",
			static.Config{Peers: []string{"10.0.0.1", "10.0.0.2:0", "0.0.0.0:1", "nats://10.0.0.3:1", "A:1", "nats-route://a.:1", ":1"}, Nodes: 3},
			[]string{`"10.0.0.1" is not`, `port "0"`, "nobody can be reached at 0.0.0.0", `"nats://10.0.0.3:1" is not`, `"nats-route://a.:1" is listed twice, first as "A:1"`, `":1" is not`, "7 peers are listed for 3 nodes"},
		},
		{"own address missing", static.Config{Peers: []string{"10.0.0.1:1", "10.0.0.2:1"}, Self: "10.0.0.3"}, []string{`own address "10.0.0.3" is not among the peers 10.0.0.1:1, 10.0.0.2:1`}},
		{"own port missing", static.Config{Peers: []string{"10.0.0.1:1", "10.0.0.2:1"}, Self: "10.0.0.1:2"}, []string{`own address "10.0.0.1:2" is not among`}},
		{"own address twice", static.Config{Peers: []string{"10.0.0.1:1", "10.0.0.1:2"}, Self: "10.0.0.1"}, []string{"stands for several of the peers, 10.0.0.1:1, 10.0.0.1:2: give host:port"}},
		{"no interface", static.Config{Peers: []string{"203.0.113.1:1", "203.0.113.2:1"}}, []string{"an address of this machine", "is not among"}},
		{"several interfaces", static.Config{Peers: []string{"127.0.0.1:1", "127.0.0.1:2"}}, []string{"stands for several"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := static.New(c.cfg)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want %q in it", err, want)
				}
			}
		})
	}
}

func TestNoPasswordInErrors(t *testing.T) {
	for _, peer := range []string{"nats-route://user:secret@10.0.0.1:1", "nats-route://user:secret@10.0.0.1:%zz", "user:secret@10.0.0.1:1", "nats-route://user:secret%zz@10.0.0.1:1"} {
		_, err := static.New(static.Config{Peers: []string{peer}, Nodes: 1})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v, want one without the password", peer, err)
		}
	}
}
