package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cmd/bench/swarm"
)

// swarmCommand is one of the processes that scale starts.
func swarmCommand() *cli.Command {
	return &cli.Command{
		Name: "swarm", Hidden: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "hub"}, &cli.StringFlag{Name: "secret"}, &cli.StringFlag{Name: "dir"}, &cli.StringFlag{Name: "state"},
			&cli.IntFlag{Name: "first"}, &cli.IntFlag{Name: "agents"},
		},
		Action: func(c *cli.Context) error {
			secret, err := os.ReadFile(c.String("secret"))
			if err != nil {
				return fmt.Errorf("read secret: %w", err)
			}
			return swarm.Run(c.Context, swarm.Config{
				Hub: c.String("hub"), Secret: strings.TrimSpace(string(secret)), Logs: c.String("dir"), State: c.String("state"),
				First: c.Int("first"), Agents: c.Int("agents"), Codec: codecOfMoves,
				Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
			})
		},
	}
}
