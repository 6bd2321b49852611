package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// A node that found its cluster of one: a server inside a program.
func ExampleNode() {
	dir, err := os.MkdirTemp("", "node-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	node, err := cluster.NewNode(cluster.NodeConfig{
		StoreDir: dir,
		Logger:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Options: func() (*server.Options, error) {
			return &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(context.Background()) }()
	<-node.Ready()
	nc, err := node.Connect(nats.Name("example"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(nc.IsConnected())
	nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(node.Shutdown(ctx), <-ended)
	// Output:
	// true
	// <nil> <nil>
}

func TestOptionsPassThrough(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*server.Options)
		client []nats.Option // of one who gets in
		wrong  []nats.Option // of one who does not; nil: everyone gets in
	}{
		"open":     {change: func(*server.Options) {}},
		"one user": {func(o *server.Options) { o.Username, o.Password = "u", "p" }, []nats.Option{nats.UserInfo("u", "p")}, []nats.Option{}},
		"users":    {func(o *server.Options) { o.Users = []*server.User{{Username: "u", Password: "p"}} }, []nats.Option{nats.UserInfo("u", "p")}, []nats.Option{nats.UserInfo("u", "x")}},
		"users and system account": {func(o *server.Options) {
			o.Accounts, o.SystemAccount = []*server.Account{server.NewAccount("S")}, "S"
			o.Users = []*server.User{{Username: "u", Password: "p"}}
		}, []nats.Option{nats.UserInfo("u", "p")}, []nats.Option{}},
		"system account": {func(o *server.Options) { o.Accounts, o.SystemAccount = []*server.Account{server.NewAccount("S")}, "S" }, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := plainConfig(t, nil, "")
			cfg.Nodes, cfg.Adapter = 0, nil
			cfg.Options = func() (*server.Options, error) {
				o := &server.Options{Host: "127.0.0.1", Port: -1, MaxPayload: 12345}
				tc.change(o)
				return o, nil
			}
			n := startPlain(t, cfg)
			n.await()
			nc, err := n.Connect(append(tc.client, nats.Name("in process"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if nc.MaxPayload() != 12345 || nc.Opts.Name != "in process" {
				t.Errorf("max payload %d, name %s", nc.MaxPayload(), nc.Opts.Name)
			}
			if tc.wrong != nil {
				if nc, err := nats.Connect(n.Server().ClientURL(), tc.wrong...); err == nil {
					nc.Close()
					t.Error("a stranger gets in")
				}
			}
			system, err := n.ConnectSystem()
			if err != nil {
				t.Fatal(err)
			}
			defer system.Close()
			if _, err := system.Request("$SYS.REQ.SERVER.PING", nil, clustertest.Patience); err != nil {
				t.Error(err)
			}
			if nc, err := nats.Connect(n.Server().ClientURL(), nats.UserInfo("system", "")); err == nil {
				nc.Close()
				t.Error("the system user gets in from outside")
			}
			if err := n.Reload(); err != nil {
				t.Errorf("reload of unchanged options: %v", err)
			}
			if err := nc.FlushTimeout(clustertest.Patience); err != nil {
				t.Errorf("after a reload: %v", err)
			}
		})
	}
}

// A start that is given up leaves no listener and no lock, and a node may be told to end more than once.
func TestEndedStartLeavesNothing(t *testing.T) {
	p := &clustertest.Platform{}
	address := clustertest.FreeAddress(t)
	p.Name(address, clustertest.FreeAddress(t), clustertest.FreeAddress(t)) // the other founders never come
	cfg := plainConfig(t, p, address)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		n, err := cluster.NewNode(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		clustertest.Until(t, "the node listens", func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("a start that was given up: %v", err)
		}
		select {
		case <-n.Ready():
			t.Error("a node without the others says that it is ready")
		default:
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()

	alone := plainConfig(t, nil, "")
	alone.Nodes, alone.Adapter = 1, nil
	n := startPlain(t, alone)
	n.await()
	for range 2 {
		if err := n.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
