package election_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/election"
)

// exampleBucket starts a hub and makes a bucket as a program of yours would: its TTL is that of every lease in it.
func exampleBucket() (kv jetstream.KeyValue, stop func()) {
	dir, err := os.MkdirTemp("", "election")
	if err != nil {
		log.Fatal(err)
	}
	cfg := cluster.DefaultHubConfig()
	cfg.StoreDir, cfg.Listen, cfg.LeafListen, cfg.Logger = dir, "127.0.0.1:0", "127.0.0.1:0", slog.New(slog.DiscardHandler)
	hub, err := cluster.NewHub(cfg)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	<-hub.Ready()
	nc, err := hub.Connect()
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "LEADERS", TTL: 2 * time.Second, History: 1, MaxBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	return kv, func() {
		nc.Close()
		cancel()
		<-ended
		_ = os.RemoveAll(dir)
	}
}

// Do something every second, on one node at a time, for as long as this process runs: what natty's AsLeader was for. The duty ends when the
// leadership does, not at its next turn.
func ExampleRun() {
	kv, stop := exampleBucket()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background()) // signal.NotifyContext in a program
	defer cancel()

	cfg := election.DefaultConfig()
	cfg.ID = "node-1"
	err := election.Run(ctx, kv, "sweeper", cfg, func(ctx context.Context, _ uint64) error {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := range 3 {
			fmt.Println("sweep", n)
			select {
			case <-ctx.Done(): // context.Cause(ctx) says why
				return ctx.Err()
			case <-tick.C:
			}
		}
		cancel()
		return nil
	})
	fmt.Println("ended:", err)
	// Output:
	// sweep 0
	// sweep 1
	// sweep 2
	// ended: <nil>
}

// The term is what makes a leader safe that was paused, or whose clock is wrong: everything it writes carries its term, and what is written to refuses
// a lower one than it has seen.
func ExampleRun_fencing() {
	kv, stop := exampleBucket()
	defer stop()
	highest := uint64(0) // in a program, in the database that is written to, and in the same transaction
	accept := func(term uint64, what string) {
		if term < highest {
			fmt.Println("refused:", what)
			return
		}
		highest = term
		fmt.Println("accepted:", what)
	}
	cfg := election.DefaultConfig()
	var former uint64
	for _, cfg.ID = range []string{"node-1", "node-2"} {
		err := election.Run(context.Background(), kv, "writer", cfg, func(_ context.Context, term uint64) error {
			accept(term, cfg.ID)
			if former != 0 {
				accept(former, "node-1, late")
			}
			former = term
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// accepted: node-1
	// accepted: node-2
	// refused: node-1, late
}

// Keep a key alive for as long as this process is, and no longer, as natty's Refresh did: a key that nobody else competes for. It is gone
// within a TTL of a crash, and at once after a clean end.
func ExampleRun_presence() {
	kv, stop := exampleBucket()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	cfg := election.DefaultConfig()
	cfg.ID = "web1"
	err := election.Run(ctx, kv, "alive.web1", cfg, func(ctx context.Context, _ uint64) error {
		present, err := kv.Keys(ctx)
		fmt.Println(present, err)
		cancel()
		<-ctx.Done()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = kv.Keys(context.Background())
	fmt.Println(err)
	// Output:
	// [alive.web1] <nil>
	// nats: no keys found
}

// Ask who leads, as natty's HasLeader and GetLeader did. An error is told apart from nobody.
func ExampleCurrent() {
	kv, stop := exampleBucket()
	defer stop()
	cfg := election.DefaultConfig()
	cfg.ID = "node-1"
	ctx := context.Background()
	err := election.Run(ctx, kv, "duty", cfg, func(ctx context.Context, term uint64) error {
		leader, err := election.Current(ctx, kv, "duty")
		fmt.Println(leader.ID == cfg.ID, leader.Term == term, err)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	leader, err := election.Current(ctx, kv, "duty")
	fmt.Println(leader == election.Leader{}, err)
	// Output:
	// true true <nil>
	// true <nil>
}

// Follow who leads.
func ExampleObserve() {
	kv, stop := exampleBucket()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	err := election.Observe(ctx, kv, "duty", func(l election.Leader) {
		fmt.Printf("leader: %q\n", l.ID)
		if l.ID != "" {
			cancel()
			return
		}
		cfg := election.DefaultConfig()
		cfg.ID = "node-1"
		go func() {
			done <- election.Run(ctx, kv, "duty", cfg, func(ctx context.Context, _ uint64) error {
				<-ctx.Done()
				return nil
			})
		}()
	})
	fmt.Println(err, <-done)
	// Output:
	// leader: ""
	// leader: "node-1"
	// <nil> <nil>
}
