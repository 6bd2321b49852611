// Logdrive ships log files: every byte, once and in order, to per-host files in a central archive.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newApp().RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "logdrive:", err)
		os.Exit(1)
	}
}

func newApp() *cli.App {
	commands := []*cli.Command{upCommand(), agentCommand(), receiverCommand(), hubCommand(), versionCommand()}
	for _, command := range everyCommand(commands) {
		// The message alone: a page of help would hide it.
		command.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return err }
	}
	return &cli.App{
		Name:            "logdrive",
		Usage:           "ship log files, every byte once and in order, and prove it",
		HideVersion:     true,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // main prints and exits
		Commands:        commands,
		Action:          unknownCommand,
		// A value with commas is one value: globs such as *.{gz,zip} have some.
		DisableSliceFlagSeparator: true,
	}
}

// everyCommand lists commands with those below them.
func everyCommand(commands []*cli.Command) []*cli.Command {
	all := slices.Clone(commands)
	for _, c := range commands {
		all = append(all, everyCommand(c.Subcommands)...)
	}
	return all
}
