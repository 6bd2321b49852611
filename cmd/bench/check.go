package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/logdrive/logdrive/cmd/bench/lines"
	"github.com/logdrive/logdrive/cmd/bench/sources"
)

// errFaults makes check exit 1; the faults themselves are on standard output.
var errFaults = errors.New("the archive is not what was written")

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "verify numbered lines in an archive, or compare it with the source files byte for byte",
		ArgsUsage: "ARCHIVE...",
		Description: "Reads every source of the archive, all generations in order, decompressed. Without --against its lines must be those of\n" +
			"bench write: lost, doubled, torn, reordered and misplaced ones are counted. Exits 1 if anything is wrong.\n" +
			"Several archives are read as one, by their indexes: their receivers must be stopped.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "manifest", Usage: "what bench write --manifest said it wrote: tells the loss of last lines"},
			&cli.StringSliceFlag{Name: "against", Usage: "source `FILE` or directory to compare with, byte for byte; rotated files are joined"},
			&cli.StringFlag{Name: "host", Usage: "only this host of the archive (needed for --against if there are several)"},
			&cli.BoolFlag{Name: "live", Usage: "the archive is being written: an unfinished last line is no fault"},
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
		},
		Action: check,
	}
}

func check(c *cli.Context) error {
	if c.NArg() == 0 {
		return errors.New("want an ARCHIVE, or several that belong together")
	}
	all, done, err := openArchives(c.Args().Slice())
	if err != nil {
		return err
	}
	all = ofHost(all, c.String("host"))
	if against := c.StringSlice("against"); len(against) > 0 {
		return errors.Join(checkBytes(c, all, against), done())
	}
	return errors.Join(checkLines(c, all), done())
}

func ofHost(all []archivedSource, host string) []archivedSource {
	if host == "" {
		return all
	}
	var kept []archivedSource
	for _, s := range all {
		if s.host == host {
			kept = append(kept, s)
		}
	}
	return kept
}

func checkLines(c *cli.Context, all []archivedSource) error {
	checker := lines.Checker{Live: c.Bool("live")}
	if name := c.String("manifest"); name != "" {
		wrote, err := readManifest(name)
		if err != nil {
			return err
		}
		for _, w := range wrote {
			checker.Expect(w.Origin, w.Lines)
		}
	}
	for _, s := range all {
		if err := readInto(&checker, s); err != nil {
			return err
		}
	}
	report := checker.Report()
	if err := show(c, report, report.String()); err != nil {
		return err
	}
	if !report.Clean() {
		return errFaults
	}
	return nil
}

func readInto(checker *lines.Checker, s archivedSource) error {
	r, err := s.open()
	if err != nil {
		return err
	}
	defer r.Close()
	return checker.Read(s.host+":"+s.path, r)
}

// comparison is the verdict on one source.
type comparison struct {
	Source string `json:"source"`
	Fault  string `json:"fault,omitempty"` // empty: equal
	Bytes  int64  `json:"bytes"`           // in the archive
}

func checkBytes(c *cli.Context, archived []archivedSource, against []string) error {
	verdicts, err := compareAll(archived, against)
	if err != nil {
		return err
	}
	text, bad := "", 0
	for _, v := range verdicts {
		if v.Fault != "" {
			bad++
			text += fmt.Sprintf("%s: %s\n", v.Source, v.Fault)
		}
	}
	text += fmt.Sprintf("%d sources compared, %d differ", len(verdicts), bad)
	if err := show(c, verdicts, text); err != nil {
		return err
	}
	if bad > 0 {
		return errFaults
	}
	return nil
}

// compareAll compares every source under the paths with the archived one of the same path.
func compareAll(archived []archivedSource, paths []string) ([]comparison, error) {
	byPath := map[string]archivedSource{}
	for _, s := range archived {
		if other, twice := byPath[s.path]; twice {
			return nil, fmt.Errorf("%s is archived for hosts %s and %s: choose one with --host", s.path, other.host, s.host)
		}
		byPath[s.path] = s
	}
	on, err := sources.Files(paths...)
	if err != nil {
		return nil, err
	}
	var out []comparison
	for _, s := range on {
		v, err := compareOne(s, byPath)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func compareOne(want sources.Source, byPath map[string]archivedSource) (comparison, error) {
	v := comparison{Source: want.Path}
	a, err := want.Open()
	if err != nil {
		return v, err
	}
	defer a.Close()
	got, ok := byPath[filepath.Clean(want.Path)]
	if !ok {
		n, err := io.Copy(io.Discard, a)
		if n > 0 { // an empty file has no bytes to archive
			v.Fault = fmt.Sprintf("is not in the archive, %d bytes", n)
		}
		return v, err
	}
	b, err := got.open()
	if err != nil {
		return v, err
	}
	defer b.Close()
	d, err := sources.Compare(a, b)
	if !d.Equal {
		v.Fault = d.String()
	}
	v.Bytes = d.Got
	return v, err
}

func show(c *cli.Context, v any, text string) error {
	if !c.Bool("json") {
		_, err := fmt.Fprintln(c.App.Writer, text)
		return err
	}
	e := json.NewEncoder(c.App.Writer)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
