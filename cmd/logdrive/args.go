package main

import (
	"errors"
	"fmt"
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
