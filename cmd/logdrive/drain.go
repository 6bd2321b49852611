package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/receiver"
)

func drainCommand() *cli.Command {
	return &cli.Command{
		Name:      "drain",
		Usage:     "move every partition away from a receiver, and wait until it owns nothing; without a name, list the receivers",
		ArgsUsage: "[NAME or ARCHIVE-ID]",
		Description: "A drained receiver runs on and gets no partition until --undo, also after a restart: stop it, move its archive away, or keep it as a spare.\n" +
			"A restart needs no drain: SIGTERM hands the partitions over, too.",
		Flags: []cli.Flag{
			list("hub", "nats://host:port of a hub node (repeatable)"),
			secretFlag("file with the hub's secret"),
			yes("undo", "let the receiver own partitions again"),
			span("timeout", time.Minute, "how long to wait until it owns nothing; it stays drained after that"),
			yes("json", "print JSON"),
		},
		Action: runDrain,
	}
}

func runDrain(c *cli.Context) error {
	name, err := oneArgument(c)
	if err != nil {
		return err
	}
	if name == "" && c.Bool("undo") {
		return errors.New("--undo of what? Name a receiver; without a name and --undo they are listed")
	}
	if c.Duration("timeout") <= 0 {
		return fmt.Errorf("--timeout %s: it must be positive", c.Duration("timeout"))
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
	d := drain{Context: c, js: js}
	all, err := receiver.Standings(c.Context, js)
	if err != nil {
		return err
	}
	if name == "" {
		return d.print(all)
	}
	one, err := choose(all, name)
	if err != nil {
		return err
	}
	return d.run(one, all)
}

// connectOnce connects to the hub, or tells at once why not: there is somebody who reads it.
func connectOnce(c *cli.Context) (*nats.Conn, error) {
	hub, err := hubOf(c)
	if err != nil {
		return nil, err
	}
	if hub == "" {
		return nil, errors.New("--hub nats://host:port is missing: name a hub node's client listener")
	}
	secret, err := needSecret(c)
	if err != nil {
		return nil, err
	}
	return cluster.Connect(hub, secret, nats.Name("logdrive "+c.Command.Name))
}

// choose finds a receiver by its archive's id or by its name.
func choose(all []receiver.Standing, name string) (receiver.Standing, error) {
	named := slices.DeleteFunc(slices.Clone(all), func(s receiver.Standing) bool { return s.ID != name && s.Name != name })
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return receiver.Standing{}, fmt.Errorf("no receiver is named %q: there %s", name, listed(all))
	}
	return receiver.Standing{}, fmt.Errorf("%d receivers are named %q: say which by its archive's id; there %s", len(named), name, listed(named))
}

// listed names receivers in a sentence.
func listed(all []receiver.Standing) string {
	if len(all) == 0 {
		return "is none at all"
	}
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = called(s)
	}
	return "are " + strings.Join(words, ", ")
}

func called(s receiver.Standing) string {
	if s.Name == "" {
		return s.ID
	}
	return s.Name + " (" + s.ID + ")"
}

// drain is one call of the command.
type drain struct {
	*cli.Context
	js jetstream.JetStream
}

// run drains or undrains, waits for the former, and tells what came of it.
func (d drain) run(one receiver.Standing, all []receiver.Standing) error {
	undo := d.Bool("undo")
	if err := d.ask(one.ID, !undo); err != nil {
		return err
	}
	if undo {
		return d.tell(one.ID, called(one)+" may own partitions again")
	}
	if !slices.ContainsFunc(all, func(s receiver.Standing) bool { return s.Alive && !s.Drained && s.ID != one.ID }) {
		fmt.Fprintf(d.App.ErrWriter, "warning: no other receiver takes partitions. %s keeps its own, drained or not, until one joins or another drain is undone.\n", called(one))
	}
	if err := d.wait(one); err != nil {
		return err
	}
	return d.tell(one.ID, called(one)+" owns nothing, and will get nothing until --undo")
}

// askTries is how often the list of drained receivers is read again because someone else wrote it meanwhile, or because a leader that was frozen read from its old one, which it does for some seconds.
const (
	askTries = 8
	askPause = 500 * time.Millisecond
)

func (d drain) ask(archive string, drained bool) (err error) {
	for range askTries {
		err = receiver.Drain(d.Context.Context, d.js, archive, drained)
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		select {
		case <-d.Context.Context.Done():
			return err
		case <-time.After(askPause):
		}
	}
	return err
}

// lookEvery is how often a drain looks what the receiver still owns.
const lookEvery = 100 * time.Millisecond

// wait waits until the receiver owns nothing, with a progress bar on a terminal.
func (d drain) wait(one receiver.Standing) error {
	ctx, cancel := context.WithTimeout(d.Context.Context, d.Duration("timeout"))
	defer cancel()
	left := held(one)
	bar := progressbar.DefaultSilent(int64(max(1, len(left))))
	if term.IsTerminal(int(os.Stderr.Fd())) {
		bar = progressbar.Default(int64(max(1, len(left))), "moving partitions")
	}
	defer bar.Close()
	for len(left) > 0 {
		_ = bar.Set(max(0, bar.GetMax()-len(left)))
		select {
		case <-ctx.Done():
			return d.unfinished(one, left)
		case <-time.After(lookEvery):
		}
		all, err := receiver.Standings(ctx, d.js)
		if ctx.Err() != nil {
			return d.unfinished(one, left)
		}
		if err != nil {
			return err
		}
		left = held(find(all, one.ID))
	}
	return bar.Finish()
}

// held is what a receiver owns or will own soon: a wish of before the drain may still be on its way.
func held(s receiver.Standing) []int {
	all := slices.Concat(s.Partitions, s.Wished)
	slices.Sort(all)
	return slices.Compact(all)
}

func (d drain) unfinished(one receiver.Standing, left []int) error {
	still := fmt.Sprintf("%s stays drained, and still has %d partitions: %s", called(one), len(left), ranges(left))
	if d.Context.Context.Err() != nil {
		return fmt.Errorf("interrupted: %s", still)
	}
	return fmt.Errorf("not done after %s: %s. Wait on with the same command, or take it back with --undo", d.Duration("timeout"), still)
}

// find is how the receiver of an archive stands; one that is not listed owns nothing.
func find(all []receiver.Standing, archive string) receiver.Standing {
	i := slices.IndexFunc(all, func(s receiver.Standing) bool { return s.ID == archive })
	if i < 0 {
		return receiver.Standing{Member: receiver.Member{ID: archive}}
	}
	return all[i]
}
