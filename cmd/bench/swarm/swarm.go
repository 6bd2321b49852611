package swarm

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says which agents to run. Agent i ships Logs/HOST.log, where HOST is Host(i).
type Config struct {
	Hub    string // nats-leaf://host:port
	Secret string
	Logs   string // directory
	State  string // directory; each agent has one below it
	First  int    // number of the first agent
	Agents int
	Codec  string
	Logger *slog.Logger
}

// Host is the name of the host of an agent.
func Host(number int) string { return fmt.Sprintf("swarm-%05d", number) }

// Log is the file that an agent ships.
func Log(dir string, number int) string { return filepath.Join(dir, Host(number)+".log") }

// startEvery is the pause between starts of agents: a process that starts hundreds of servers at once does not answer its own clients in time.
const startEvery = 40 * time.Millisecond

// Run starts one agent after the other and runs them until ctx ends or one of them cannot go on.
func Run(ctx context.Context, cfg Config) error {
	group, ctx := errgroup.WithContext(ctx)
	tick := time.NewTicker(startEvery)
	defer tick.Stop()
	for i := range cfg.Agents {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return group.Wait()
		}
		group.Go(func() error {
			a := agent{Config: cfg, number: cfg.First + i}
			if err := a.run(ctx); err != nil {
				return fmt.Errorf("agent %s: %w", Host(a.number), err)
			}
			return nil
		})
	}
	return group.Wait()
}
