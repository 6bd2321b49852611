package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster"
)

func memberFlagsOf(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		list("hub", "nats://host:port of a hub node (repeatable)"),
		secretFlag("file with the hub's secret"),
	}, more...)
}

func membersCommand() *cli.Command {
	return &cli.Command{
		Name:   "members",
		Usage:  "list the nodes of the hub, those that are lost among them",
		Flags:  memberFlagsOf(yes("json", "print JSON")),
		Action: func(c *cli.Context) error { return withHub(c, noName, listMembers) },
	}
}

func evictCommand() *cli.Command {
	return &cli.Command{
		Name:      "evict",
		Usage:     "take a node that is lost for good out of the hub",
		ArgsUsage: "NAME",
		Description: "A lost node counts as a member until then: it takes more than half of all members to change anything. It must not come back: wipe its store.\n" +
			"Start its replacement first: the copies it had are made there as soon as it is evicted.",
		Flags: memberFlagsOf(yes("force", "even if fewer than three members stay"), yes("json", "print JSON")),
		Action: withMember(func(c *cli.Context, nc *nats.Conn, name string) error {
			return cluster.EvictMember(c.Context, nc, name, c.Bool("force"))
		}),
	}
}

func leaveCommand() *cli.Command {
	return &cli.Command{
		Name:        "leave",
		Usage:       "make a running node move what it holds to the others, leave the hub and end",
		ArgsUsage:   "NAME",
		Description: "The command waits until it is done; if it is interrupted, the node goes on.",
		Flags: memberFlagsOf(yes("force", "even if fewer than three members stay"), yes("json", "print JSON"),
			span("timeout", time.Hour, "how long to wait until it has left")),
		Action: withMember(func(c *cli.Context, nc *nats.Conn, name string) error {
			ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
			defer cancel()
			return cluster.DismissMember(ctx, nc, name, c.Bool("force"))
		}),
	}
}

func rescueCommand() *cli.Command {
	return &cli.Command{
		Name:  "rescue",
		Usage: "give a hub that has lost half of its nodes or more for good a leader again",
		Description: "The nodes that are there lead the hub, and those that are not are taken out. What only these knew is lost: agents ship it again as far as their files still have it.\n" +
			"If a node that is taken out still runs somewhere, out of reach, there are two hubs from then on that can never be joined. So: make sure that it does not.",
		Flags: memberFlagsOf(yes("yes", "the nodes that are not there are lost for good, and do not run anywhere"), yes("json", "print JSON")),
		Action: func(c *cli.Context) error {
			return withHub(c, noName, func(c *cli.Context, nc *nats.Conn, _ string) error {
				if !c.Bool("yes") {
					return errors.Join(listMembers(c, nc, ""), errors.New("are those that are not there lost for good? Then say so with --yes"))
				}
				m, err := cluster.RescueHub(c.Context, nc)
				if err != nil {
					return err
				}
				return printMembers(c, m)
			})
		},
	}
}

func noName(c *cli.Context) (string, error) { return "", noArguments(c) }

func oneName(c *cli.Context) (string, error) {
	name, err := oneArgument(c)
	if err == nil && name == "" {
		err = fmt.Errorf("%s of which node? logdrive hub members lists them", c.Command.Name)
	}
	return name, err
}

// withHub does what a command does about one member, or about all.
func withHub(c *cli.Context, argument func(*cli.Context) (string, error), do func(*cli.Context, *nats.Conn, string) error) error {
	name, err := argument(c)
	if err != nil {
		return err
	}
	nc, err := connectOnce(c)
	if err != nil {
		return err
	}
	defer nc.Close()
	return do(c, nc, name)
}

// withMember does something to one member, and lists those that are left.
func withMember(do func(*cli.Context, *nats.Conn, string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		return withHub(c, oneName, func(c *cli.Context, nc *nats.Conn, name string) error {
			if err := do(c, nc, name); err != nil {
				return err
			}
			return listMembers(c, nc, name)
		})
	}
}

func listMembers(c *cli.Context, nc *nats.Conn, _ string) error {
	m, err := cluster.HubMembers(c.Context, nc)
	if err != nil {
		return err
	}
	return printMembers(c, m)
}

func printMembers(c *cli.Context, m cluster.Members) error {
	if c.Bool("json") {
		return printJSON(c.App.Writer, m)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tSEEN\tBEHIND")
	for _, k := range m.Members {
		fmt.Fprintln(w, k.Name+"\t"+memberState(m, k)+"\t"+seen(k.Seen)+"\t"+strconv.FormatUint(k.Lag, 10))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if m.Leader == "" {
		fmt.Fprintf(c.App.Writer, "no leader: %d of %d members must be there\n", m.Quorum, len(m.Members))
	}
	return nil
}

func memberState(m cluster.Members, k cluster.Member) string {
	switch {
	case k.Name == m.Leader:
		return "leader"
	case k.Offline:
		return "not there"
	case !k.Current:
		return "behind"
	}
	return "current"
}

func seen(ago time.Duration) string {
	if ago <= 0 {
		return "-"
	}
	return ago.Round(time.Second).String()
}
