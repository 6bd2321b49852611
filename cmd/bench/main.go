package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newApp().RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newApp() *cli.App {
	return &cli.App{
		Name:            "bench",
		Usage:           "make log lines, check what arrived, measure logdrive",
		HideHelpCommand: true,
		Commands:        []*cli.Command{writeCommand(), checkCommand(), runCommand(), scaleCommand(), demoCommand(), invariantsCommand(), sinkCommand(), swarmCommand()},
	}
}
