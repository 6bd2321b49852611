package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cmd/bench/invariants"
)

const invariantsLimit = 2 * time.Minute

func invariantsCommand() *cli.Command {
	return &cli.Command{
		Name:        "invariants",
		Usage:       "check that a hub and its archives agree",
		Description: "The hub runs; receivers and agents are stopped. Exits 1 if anything is violated.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "archive", Required: true, Usage: "`DIR` of an archive (repeatable: all that belong to the hub)"},
			&cli.StringFlag{Name: "hub", Required: true, Usage: "`URL`, nats://host:port"},
			&cli.StringFlag{Name: "secret", Required: true, Usage: "`FILE` with the hub's secret"},
			&cli.BoolFlag{Name: "json", Usage: "print the violations as JSON"},
		},
		Action: checkInvariants,
	}
}

func checkInvariants(c *cli.Context) error {
	ctx, cancel := context.WithTimeout(c.Context, invariantsLimit)
	defer cancel()
	hub, err := readHub(ctx, c.String("hub"), c.String("secret"))
	if err != nil {
		return err
	}
	var archives []invariants.Archive
	for _, dir := range c.StringSlice("archive") {
		a, err := invariants.ReadArchive(dir)
		if err != nil {
			return err
		}
		archives = append(archives, a)
	}
	found := invariants.Check(hub, archives)
	var text strings.Builder
	for _, v := range found {
		fmt.Fprintln(&text, v)
	}
	fmt.Fprintf(&text, "%d partitions, %d archives: %d violations", len(hub), len(archives), len(found))
	if err := show(c, found, text.String()); err != nil {
		return err
	}
	if len(found) > 0 {
		return errors.New("hub and archives do not agree")
	}
	return nil
}

func readHub(ctx context.Context, url, secretFile string) (invariants.Hub, error) {
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	nc, err := cluster.Connect(url, strings.TrimSpace(string(secret)))
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	return invariants.ReadHub(ctx, nc)
}
