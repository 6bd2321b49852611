package fleet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

func TestNodesKnowEachOther(t *testing.T) {
	cfg := config(t, "none")
	cfg.Nodes = 3
	f, err := fleet.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Kill()
	if n := len(f.Hub.Nodes); n != 3 {
		t.Fatalf("%d nodes", n)
	}
	peers := map[string]bool{}
	for _, n := range f.Hub.Nodes {
		args := readArgs(t, filepath.Join(cfg.Dir, n.Name()+".ports.args"))
		_, own, _ := strings.Cut(args, "--cluster-listen ")
		own, _, _ = strings.Cut(own, " ")
		peers[own] = true
		if strings.Count(args, "--peers") != 3 || !strings.Contains(args, "--nodes 3") || !strings.Contains(args, "--peers "+own) {
			t.Errorf("%s runs with %s", n.Name(), args)
		}
	}
	if len(peers) != 3 {
		t.Errorf("nodes listen at %v", peers)
	}
	if f.Hub.Named("hub-1-abc") != f.Hub.Nodes[1] || f.Hub.Named("hub-10") != nil || f.Hub.Named("") != nil {
		t.Error("nodes are not found by the names of their servers")
	}
}

func TestLinkedToIsTheLastOne(t *testing.T) {
	cfg := config(t, "none")
	f, err := fleet.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Kill()
	if err := f.StartAgent("h", "/some/path"); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Hub.LinkedTo("h"); err != nil || n != nil {
		t.Errorf("linked to %v, %v before anything was said", n, err)
	}
	log := `{"msg":"linked to the hub","hub":"nats-leaf://127.0.0.1:9"}
no JSON
{"msg":"linked to the hub","hub":"nats-leaf://127.0.0.1:2"}
{"msg":"leaving this link to the hub","hub":"nats-leaf://127.0.0.1:9"}
`
	if err := os.WriteFile(filepath.Join(cfg.Dir, "agent-h.log"), []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Hub.LinkedTo("h"); err != nil || n != f.Hub.Nodes[0] {
		t.Errorf("linked to %v, %v", n, err)
	}
	if _, err := f.Hub.LinkedTo("another"); err == nil {
		t.Error("an agent that does not run is linked")
	}
}

func readArgs(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
