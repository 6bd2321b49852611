package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/urfave/cli/v2"
)

// pathsKey is the one key of a config file that is no flag: the paths that agent and up take as arguments.
const pathsKey = "paths"

// applyConfig sets, from the --config file, every flag that neither the command line nor the environment sets, and returns the file's paths.
func applyConfig(c *cli.Context) ([]string, error) {
	file := c.String("config")
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	settings, err := parseConfig(file, data)
	if err != nil {
		return nil, err
	}
	return setAll(c, file, settings)
}

// setting is one key of a config file.
type setting struct {
	key    string
	values []string
	line   int
}

// parseConfig reads a flat YAML mapping of scalars and lists of scalars.
func parseConfig(file string, data []byte) (settings []setting, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			settings, err = nil, fmt.Errorf("config %s: it cannot be read as YAML: %v", file, fault)
		}
	}()
	doc, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", file, err)
	}
	for _, d := range doc.Docs {
		if d.Body == nil {
			continue
		}
		pairs, err := mappingOf(d.Body)
		if err != nil {
			return nil, fmt.Errorf("config %s:%d: %w", file, lineOf(d.Body), err)
		}
		for _, pair := range pairs {
			values, err := scalars(pair.Value)
			key := pair.Key.GetToken().Value
			if err != nil {
				return nil, fmt.Errorf("config %s:%d: %s: %w", file, lineOf(pair.Key), key, err)
			}
			if slices.ContainsFunc(settings, func(s setting) bool { return s.key == key }) {
				return nil, fmt.Errorf("config %s:%d: %s stands twice", file, lineOf(pair.Key), key)
			}
			settings = append(settings, setting{key, values, lineOf(pair.Key)})
		}
	}
	return settings, nil
}

func mappingOf(n ast.Node) ([]*ast.MappingValueNode, error) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, nil
	case *ast.CommentGroupNode, *ast.NullNode:
		return nil, nil
	}
	return nil, errors.New("settings are written `name: value`, one a line")
}

func scalars(n ast.Node) ([]string, error) {
	if seq, ok := n.(*ast.SequenceNode); ok {
		var all []string
		for _, v := range seq.Values {
			one, err := scalar(v)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		return all, nil
	}
	one, err := scalar(n)
	return []string{one}, err
}

func scalar(n ast.Node) (string, error) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	}
	return "", errors.New("its value must be a text, a number, true, false, or a list of those")
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

func setAll(c *cli.Context, file string, settings []setting) (paths []string, err error) {
	known := flagNames(c.Command)
	for _, s := range settings {
		if s.key == pathsKey && slices.Contains(known, pathsKey) {
			paths = s.values
			continue
		}
		if !slices.Contains(known, s.key) || s.key == "config" {
			return nil, fmt.Errorf("config %s:%d: unknown key %q; did you mean %q?", file, s.line, s.key, nearest(s.key, known))
		}
		if c.IsSet(s.key) {
			continue
		}
		if _, many := c.Value(s.key).(cli.StringSlice); !many && len(s.values) != 1 {
			return nil, fmt.Errorf("config %s:%d: %s takes one value, not %d", file, s.line, s.key, len(s.values))
		}
		for _, v := range s.values {
			if err := c.Set(s.key, v); err != nil {
				return nil, fmt.Errorf("config %s:%d: %s: %w", file, s.line, s.key, err)
			}
		}
	}
	return paths, nil
}

// flagNames are the keys that a command's config file may hold.
func flagNames(cmd *cli.Command) []string {
	var names []string
	for _, f := range cmd.Flags {
		if name := f.Names()[0]; name != "help" {
			names = append(names, name)
		}
	}
	if strings.Contains(cmd.ArgsUsage, "PATH") {
		names = append(names, pathsKey)
	}
	return names
}

// nearest is the known name that takes the fewest edits.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return edits(name, a) - edits(name, b) })
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
