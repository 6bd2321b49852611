package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/wire"
)

func partitionsCommand() *cli.Command {
	return &cli.Command{
		Name:      "partitions",
		Usage:     "divide the hosts into another number of partitions, while everything runs; without a number, show how they are divided",
		ArgsUsage: "[N]",
		Description: "Agents wait, with their files, until the archive has everything that the hub holds; so the receivers must run. Then they go on where they were.\n" +
			"What the hub still kept for looking back is gone after that; the archive has it. The command waits until it is done; if it is interrupted, the hub goes on.",
		Flags: []cli.Flag{
			list("hub", "nats://host:port of a hub node (repeatable)"),
			secretFlag("file with the hub's secret"),
			text("size", "", "size of one partition's stream from then on (as it is)"),
			yes("abort", "take a change back, which is possible until the archive has everything"),
			yes("json", "print JSON"),
		},
		Action: runPartitions,
	}
}

func runPartitions(c *cli.Context) error {
	argument, err := oneArgument(c)
	if err != nil {
		return err
	}
	wanted, bytes, err := wantedLayout(c, argument)
	if err != nil {
		return err
	}
	nc, err := connectOnce(c)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open the hub's streams: %w", err)
	}
	d := division{Context: c, js: js}
	switch {
	case c.Bool("abort"):
		err = cluster.KeepLayout(c.Context, js)
	case argument != "":
		err = d.change(wanted, bytes)
	}
	if err != nil {
		return err
	}
	return d.show()
}

// wantedLayout is what the command line asks for; 0 bytes: as they are.
func wantedLayout(c *cli.Context, argument string) (partitions int, bytes int64, err error) {
	switch {
	case argument == "" && c.String("size") != "":
		return 0, 0, errors.New("--size of how many partitions? Name their number, too, also if it stays")
	case argument == "":
		return 0, 0, nil
	case c.Bool("abort"):
		return 0, 0, fmt.Errorf("--abort takes a change back: what is %s for?", argument)
	}
	if partitions, err = strconv.Atoi(argument); err != nil || partitions < 1 || partitions > wire.MaxPartitions {
		return 0, 0, fmt.Errorf("%s partitions: 1 to %d are possible", argument, wire.MaxPartitions)
	}
	if c.String("size") != "" {
		bytes, err = size(c, "size")
	}
	return partitions, bytes, err
}

// division is one call of the command.
type division struct {
	*cli.Context
	js   jetstream.JetStream
	hint idleHint
}

// change asks for another layout and waits until the hub has it.
func (d division) change(partitions int, bytes int64) error {
	before, err := cluster.ReadLayout(d.Context.Context, d.js)
	if err != nil {
		return err
	}
	l, err := cluster.WantLayout(d.Context.Context, d.js, partitions, bytes)
	if err != nil {
		return err
	}
	bar := progressbar.DefaultSilent(int64(before.Now.Partitions))
	if term.IsTerminal(int(os.Stderr.Fd())) {
		bar = progressbar.Default(int64(before.Now.Partitions), "archiving partitions")
	}
	defer bar.Close()
	for {
		select {
		case <-d.Context.Done():
			return fmt.Errorf("interrupted: the hub goes on into %d partitions; look with logdrive hub partitions, take it back with --abort", partitions)
		case <-time.After(lookEvery):
		}
		status, err := d.look()
		switch {
		case err != nil:
			continue // a hub that was started again goes on by itself
		case status.Now.Number >= l.Number && status.Next == nil:
			return bar.Finish()
		case status.Next == nil:
			return fmt.Errorf("someone else took the change back: the hub stays at %s", describe(status.Now))
		}
		_ = bar.Set(before.Now.Partitions - len(status.Behind))
		d.hint = d.hint.see(status.Behind)
		if d.hint.due {
			fmt.Fprintf(d.App.ErrWriter, "the change waits for the archive of partitions %s, where nothing moves: do the receivers run? It goes on by itself as soon as they do\n", behind(status))
		}
	}
}

// look asks the hub how it stands, and does not wait for one that is away.
func (d division) look() (cluster.LayoutStatus, error) {
	ctx, cancel := context.WithTimeout(d.Context.Context, 5*time.Second)
	defer cancel()
	return cluster.ReadLayout(ctx, d.js)
}

// hintAfter is how long nothing may move before the command asks for receivers.
const hintAfter = 10 * time.Second

// idleHint notices that the floors do not move.
type idleHint struct {
	seen  []cluster.Unarchived
	since time.Time
	told  bool
	due   bool // tell it now
}

func (h idleHint) see(now []cluster.Unarchived) idleHint {
	if h.since.IsZero() || !slices.Equal(now, h.seen) {
		return idleHint{seen: now, since: time.Now()}
	}
	h.due = !h.told && len(now) > 0 && time.Since(h.since) > hintAfter
	h.told = h.told || h.due
	return h
}

// show tells how the hub stands.
func (d division) show() error {
	status, err := cluster.ReadLayout(d.Context.Context, d.js)
	if err != nil {
		return err
	}
	if d.Bool("json") {
		return printJSON(d.App.Writer, status)
	}
	text := describe(status.Now)
	switch next := status.Next; {
	case next == nil:
	case next.Number == status.Now.Number:
		text += "; the streams of before are being deleted"
	case next.Sealing && len(status.Behind) == 0:
		text += fmt.Sprintf("; becomes %s", describe(next.Layout))
	default:
		text += fmt.Sprintf("; becomes %s as soon as the archive has everything of partitions %s", describe(next.Layout), behind(status))
	}
	_, err = fmt.Fprintln(d.App.Writer, text)
	return err
}

func describe(l wire.Layout) string {
	return fmt.Sprintf("layout %d: %d partitions, streams of %s", l.Number, l.Partitions, humanize.IBytes(uint64(l.StreamBytes)))
}

func behind(status cluster.LayoutStatus) string {
	var numbers []int
	for _, b := range status.Behind {
		numbers = append(numbers, b.Partition)
	}
	return ranges(numbers)
}
