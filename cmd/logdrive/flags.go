package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
)

// env is the environment variable of a flag: LOGDRIVE_ and its name.
func env(name string) []string {
	return []string{"LOGDRIVE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

func text(name, value, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
}

func list(name, usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: usage, EnvVars: env(name)}
}

func yes(name, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: usage, EnvVars: env(name)}
}

func number(name string, value int, usage string) cli.Flag {
	return &cli.IntFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
}

func span(name string, value time.Duration, usage string) cli.Flag {
	return &cli.DurationFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
}

// size reads a flag such as 256MiB as bytes.
func size(c *cli.Context, name string) (int64, error) {
	n, err := humanize.ParseBytes(c.String(name))
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("--%s %q: write a size such as 256MiB", name, c.String(name))
	}
	return int64(n), nil
}

// commonFlags are those of every command that runs until it is told to end.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		text("config", "", "YAML file with the same settings, by the flags' names; flags and environment win over it"),
		text("http-listen", "", "serve /metrics, /healthz, /readyz and /debug/pprof there (off by default)"),
		text("ports-file", "", "write the addresses in use into this file, as JSON, once ready"),
		text("log-level", "info", "debug, info, warn or error"),
		text("log-format", "auto", "text, json, or auto: text on a terminal, JSON otherwise"),
		text("log-file", "", "write the own log into this file, rotated at 100 MiB, instead of standard error"),
	}
}

func hubFlags() []cli.Flag {
	return []cli.Flag{
		text("store", "./hub", "directory of the hub node's streams"),
		text("listen", "127.0.0.1:4222", "where receivers connect"),
		text("leaf-listen", "127.0.0.1:7422", "where agents connect"),
		text("leaf-advertise", "", "host:port that agents are told for this node, if they do not reach it where it listens"),
		text("websocket-listen", "", "where agents connect over WebSocket (off by default)"),
		text("websocket-advertise", "", "ws:// or wss://host:port that agents which came over WebSocket are told for this node"),
		number("partitions", 0, "shares the hosts are divided into, when the hub is founded (8)"),
		text("stream-size", "1GiB", "size of one partition's stream, when the hub is founded; a full one pushes back to the agents"),
	}
}

func archiveFlags() []cli.Flag {
	return []cli.Flag{
		text("archive", "./archive", "directory of the archive"),
		span("lookback", 24*time.Hour, "how long archived messages stay in the hub, if there is room"),
		text("segment-size", "256MiB", "size at which a file of the archive is rotated"),
		span("segment-age", 24*time.Hour, "age at which a file of the archive is rotated"),
		text("compress", "gzip", "rotated files: gzip, zstd or none"),
		span("retain", 0, "delete rotated files of the archive after this time (0: never)"),
	}
}

// memberFlags are those of a receiver among others.
func memberFlags() []cli.Flag {
	return []cli.Flag{
		text("name", "", "name of this receiver, and of its hub node if it has one (the system's host name and the beginning of the archive's id)"),
		text("zone", "", "where this receiver runs: a partition that must move stays in its zone if it can"),
		span("lease", 2*time.Second, "how long a receiver that died counts as alive; the first receiver of a hub decides"),
	}
}

func agentFlags() []cli.Flag {
	return []cli.Flag{
		text("host", "", "name of this machine in the archive (the system's host name)"),
		text("state", "./state", "directory of what must outlive a restart"),
		text("codec", "s2", "compression of what is sent: s2 (least CPU), zstd (fewest bytes) or none"),
		list("exclude", "files, directories or globs to leave out (repeatable)"),
		yes("hold", "hold every file by a hard link until it is archived, so that rotation which deletes cannot lose bytes"),
		yes("once", "ship what is there, and end when it is safe"),
	}
}

// secretFlag is asked for by what connects to a hub, or runs one with a given secret.
func secretFlag(usage string) cli.Flag { return text("secret", "", usage) }

func join(sets ...[]cli.Flag) []cli.Flag {
	var all []cli.Flag
	for _, s := range sets {
		all = append(all, s...)
	}
	return all
}
