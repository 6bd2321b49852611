package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster"
)

// peersOf runs a command with the flags of a hub and gives the config they make, or the error.
func peersOf(t *testing.T, args ...string) (cfg cluster.HubConfig, err error) {
	t.Helper()
	app := &cli.App{Flags: join(hubFlags(), clusterFlags(), []cli.Flag{text("name", "", ""), text("zone", "", "")})}
	app.Action = func(c *cli.Context) error {
		return setPeers(&cfg, c, &process{log: slog.New(slog.DiscardHandler)})
	}
	return cfg, app.RunContext(t.Context(), append([]string{"hub"}, args...))
}

func onFly(t *testing.T) {
	for name, value := range map[string]string{
		"FLY_MACHINE_ID": "1a", "FLY_APP_NAME": "logs", "FLY_PROCESS_GROUP": "hub", "FLY_REGION": "fra", "FLY_PRIVATE_IP": "fdaa::1", "PRIMARY_REGION": "iad",
		"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
}

func TestFlySaysItselfWhatAMachineIs(t *testing.T) {
	onFly(t)
	cfg, err := peersOf(t, "--peers", "fly://logs?shape=hub-and-spoke", "--nodes", "3", "--cluster-listen", "[::]:4244", "--leaf-listen", "[::]:7422")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Nodes != 0 || cfg.Cluster != "" {
		t.Errorf("config says %d nodes, cluster %q, which would hide what the adapter says", cfg.Nodes, cfg.Cluster)
	}
	self, err := cfg.Adapter.Self(t.Context())
	if err != nil || !self.Spoke || self.Nodes != 1 || self.Cluster != "logs-fra-1a" {
		t.Errorf("self is %+v, %v", self, err)
	}
}

func TestPeersTellWhatIsWrong(t *testing.T) {
	onFly(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--peers", "fly://logs?shap=regions"}, `unknown setting "shap"; did you mean "shape"?`},
		{[]string{"--peers", "fly://logs?shape=star"}, `shape "star"`},
		{[]string{"--peers", "fly://logs", "--peers", "fly://other"}, "one is enough"},
		{[]string{"--peers", "fly://logs", "--cluster", "x"}, "--cluster x"},
		{[]string{"--peers", "fly://logs", "--cluster-listen", "[::]:0"}, "the other nodes must know the port"},
		{[]string{"--peers", "aws://nodes?grup=hubs"}, `unknown setting "grup"; did you mean "group"?`},
		{[]string{"--peers", "aws://nodes?dead-after=soon"}, "dead-after=soon: write a time such as 90s"},
		{[]string{"--peers", "aws://nodes?volume-stays=perhaps"}, "volume-stays=perhaps: write true or false"},
		{[]string{"--peers", "aws://nodes?group=a&group=b"}, "group stands twice"},
		{[]string{"--peers", "aws://nodes?hook=leave"}, "the Auto Scaling group is not set"},
		{[]string{"--peers", "dns://hub:1?sever=127.0.0.1:53"}, `unknown setting "sever"; did you mean "server"?`},
		{[]string{"--peers", "dns://hub:1?server=localhost:53"}, `server "localhost:53" is not IP:port`},
		{[]string{"--peers", "dns://hub:1?server=[::1]:53", "--peers", "srv://_hub._tcp.test"}, "all names are asked of one server"},
		{[]string{"--peers", "dns://[::1]:1"}, "list addresses as static peers"},
		{[]string{"--peers", "aws://nodes", "--peers", "10.0.0.1:6222"}, "name the nodes in one way"},
		{[]string{"--peers", "gcp://nodes"}, "or aws://TABLE"},
		{[]string{"--peers", "fly://logs", "--nodes", "0"}, "say with --nodes"},
	} {
		if _, err := peersOf(t, append([]string{"--nodes", "3"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	for _, args := range [][]string{
		{"--peers", "aws://nodes?group=hubs&hook=leave&volume-stays=true&dead-after=1m", "--cluster-listen", "10.0.0.1:6222", "--nodes", "3"},
		{"--peers", "dns://hub.internal", "--cluster-listen", "10.0.0.1:6222"},
		{"--peers", "dns://hub.internal?server=[::1]:53", "--peers", "srv://_hub._tcp.test?server=[::1]:53", "--cluster-listen", "10.0.0.1:6222"},
		{"--peers", "fly://logs", "--cluster-listen", "[::]:4244"},
	} {
		if cfg, err := peersOf(t, append([]string{"--nodes", "3"}, args...)...); err != nil || cfg.Adapter == nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}
