package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster"
)

// nodeProcess holds, in the environment of a process of the test binary, the hub node that it shall be.
const nodeProcess = "LOGDRIVE_TEST_NODE"

// processConfig is what a hub node in a process of its own is told.
type processConfig struct {
	Dir, Listen, Leaf, Cluster string
	Peers                      []string
	Partitions                 int
}

// RunNode runs a hub node if this process was started to be one, and never returns then. Call it first in TestMain.
func RunNode() {
	text := os.Getenv(nodeProcess)
	if text == "" {
		return
	}
	var p processConfig
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = p.run()
	}
	fmt.Fprintln(os.Stderr, "hub node ended:", err)
	os.Exit(1)
}

func (p processConfig) run() error {
	platform := &Platform{}
	platform.Name(p.Peers...)
	cfg := Config()
	cfg.StoreDir, cfg.Listen, cfg.LeafListen, cfg.ClusterListen = p.Dir, p.Listen, p.Leaf, p.Cluster
	cfg.Nodes, cfg.Secret, cfg.Adapter, cfg.Partitions = len(p.Peers), Secret, platform, p.Partitions
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	hub, err := cluster.NewHub(cfg)
	if err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		<-hub.Ready()
		ready <- os.WriteFile(filepath.Join(p.Dir, "ready"), []byte(fmt.Sprint(os.Getpid())), 0o600)
	}()
	if err := hub.Run(context.Background()); err != nil {
		return err
	}
	return <-ready
}

// Process is a hub node in a process of its own, to be killed.
type Process struct {
	t   testing.TB
	cfg processConfig
	cmd *exec.Cmd
}

// StartProcesses runs a hub of several nodes, each in a process of its own, and waits until all are ready. The test's package must call RunNode.
func StartProcesses(t testing.TB, nodes, partitions int) []*Process {
	t.Helper()
	var peers []string
	for range nodes {
		peers = append(peers, FreeAddress(t))
	}
	var all []*Process
	for _, own := range peers {
		p := &Process{t: t, cfg: processConfig{Dir: t.TempDir(), Listen: FreeAddress(t), Leaf: FreeAddress(t), Cluster: own, Peers: slices.Clone(peers), Partitions: partitions}}
		t.Cleanup(p.Kill)
		p.Start()
		all = append(all, p)
	}
	for _, p := range all {
		p.AwaitReady()
	}
	return all
}

// Client is where receivers connect.
func (p *Process) Client() string { return "nats://" + p.cfg.Listen }

// Name is the server's.
func (p *Process) Name() string {
	p.t.Helper()
	return p.read("name")
}

func (p *Process) read(file string) string {
	data, err := os.ReadFile(filepath.Join(p.cfg.Dir, file))
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// Start runs the node, again on its store if it was killed.
func (p *Process) Start() {
	p.t.Helper()
	text, err := json.Marshal(p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), nodeProcess+"="+string(text))
	p.cmd.Stderr = p.t.Output()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// AwaitReady waits until the node that was started last is ready.
func (p *Process) AwaitReady() {
	p.t.Helper()
	Until(p.t, "hub node is ready", func() bool { return p.read("ready") == fmt.Sprint(p.cmd.Process.Pid) })
}

// Kill ends the node as kill -9 does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
