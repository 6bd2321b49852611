package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cluster/wire"
)

// version is set when a release is linked.
var version = "dev"

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version, the protocol version and what it was built with",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			built := version
			if commit := revision(); commit != "" {
				built += " (" + commit + ")"
			}
			_, err := fmt.Fprintf(c.App.Writer, "logdrive %s, protocol %d, %s %s/%s\n", built, wire.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// buildInfo tells which logdrive a process runs: the binary on disk may have been replaced since it started.
func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "logdrive_build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision(), "protocol": strconv.Itoa(wire.Version), "go": runtime.Version()},
	}, func() float64 { return 1 })
}

// revision is the beginning of the commit's hash, where the build knows it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return ""
}
