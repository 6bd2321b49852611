package swarm_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/swarm"
)

const agents = 5

// Every agent ships its own file under its own host, and all end in good order.
func TestEveryAgentShips(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	logs := t.TempDir()
	for i := range agents {
		if err := os.WriteFile(swarm.Log(logs, 7+i), []byte("a line\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- swarm.Run(ctx, swarm.Config{
			Hub: hub.Addresses().Leaf, Secret: hub.Secret(), Logs: logs, State: t.TempDir(), First: 7, Agents: agents, Codec: "s2", Logger: slog.New(slog.DiscardHandler),
		})
	}()
	for i := range agents {
		clustertest.Until(t, swarm.Host(7+i)+" has shipped", func() bool { return stored(t, hub, swarm.Host(7+i)) })
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// stored reports whether the hub holds a batch of a host.
func stored(t *testing.T, hub *clustertest.Hub, host string) bool {
	t.Helper()
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), wire.LayoutKey)
	if err != nil {
		t.Fatal(err)
	}
	var layout wire.Layout
	if err := json.Unmarshal(entry.Value(), &layout); err != nil {
		t.Fatal(err)
	}
	p := wire.Partition(host, layout.Partitions)
	stream, err := js.Stream(t.Context(), layout.Stream(p))
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.GetLastMsgForSubject(t.Context(), wire.PartSubject(layout.Number, p, host))
	return err == nil
}
