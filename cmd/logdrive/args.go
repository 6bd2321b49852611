package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster/wire"
)

// pathsToShip applies the config file and tells what agent and up are to ship: the arguments, else the paths of the file. What can be told to be wrong
// without doing anything is told here.
func pathsToShip(c *cli.Context) ([]string, error) {
	paths, err := applyConfig(c)
	if err != nil {
		return nil, err
	}
	if c.Args().Present() {
		paths = c.Args().Slice()
	}
	for _, p := range paths {
		switch {
		case p == "":
			return nil, errors.New("an empty PATH is given")
		case strings.HasPrefix(p, "-"): // flags end at the first path: taken for a file, this one would be awaited for ever
			return nil, fmt.Errorf("%s stands behind a path: put flags before the paths, and write ./%s if it is a file", p, p)
		}
	}
	if len(paths) == 0 && c.String("stdin") == "" {
		return nil, errors.New("no PATH is given: name files, directories or globs to ship")
	}
	if _, err := wire.NewEncoder(codec(c)); err != nil {
		return nil, fmt.Errorf("--codec: %w", err)
	}
	return paths, nil
}

// flagsOnly applies the config file of a command that takes no arguments.
func flagsOnly(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	_, err := applyConfig(c)
	return err
}

func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("%s takes flags only: what is %q?", c.Command.Name, c.Args().First())
	}
	return nil
}

// oneArgument is the argument of a command that takes at most one, "" without. Flags may stand behind it, too: after a name nothing else can be meant.
func oneArgument(c *cli.Context) (string, error) {
	if !c.Args().Present() {
		return "", nil
	}
	rest := flag.NewFlagSet(c.Command.Name, flag.ContinueOnError)
	rest.SetOutput(io.Discard)
	for _, f := range c.Command.Flags {
		if err := f.Apply(rest); err != nil {
			return "", err
		}
	}
	if err := rest.Parse(c.Args().Tail()); err != nil {
		return "", err
	}
	if rest.NArg() > 0 {
		return "", fmt.Errorf("%s takes one argument: what is %q?", c.Command.Name, rest.Arg(0))
	}
	var err error
	rest.Visit(func(f *flag.Flag) { err = errors.Join(err, c.Set(f.Name, f.Value.String())) })
	return c.Args().First(), err
}

// unknownCommand is what the program itself does: help without arguments.
func unknownCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	var names []string
	for _, command := range c.App.Commands {
		names = append(names, command.Name)
	}
	return fmt.Errorf("unknown command %q: use %s", c.Args().First(), strings.Join(names, ", "))
}
