package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// settings runs a command's flags, environment and config file as the program does, and gives what came of them.
func settings(t *testing.T, config string, args ...string) (c *cli.Context, paths []string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	app := newApp()
	app.Writer, app.ErrWriter = io.Discard, io.Discard
	for _, command := range app.Commands {
		command.Action = func(got *cli.Context) (err error) {
			c = got
			paths, err = pathsToShip(got)
			return err
		}
	}
	err = app.Run(append([]string{"logdrive", "agent", "--config", file}, args...))
	return c, paths, err
}

func TestConfigFile(t *testing.T) {
	c, paths, err := settings(t, `
# an agent
hub: [nats-leaf://h1:7422, nats-leaf://h2:7422]
"host": web1
hold: true
once: true
exclude:
  - '**/*.{gz,zip}'   # commas stay
state: /var/lib/logdrive
paths: [/var/log, '/srv/**/*.log']
`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.StringSlice("hub"), []string{"nats-leaf://h1:7422", "nats-leaf://h2:7422"}; !reflect.DeepEqual(got, want) {
		t.Errorf("hub is %q", got)
	}
	if got := c.StringSlice("exclude"); !reflect.DeepEqual(got, []string{"**/*.{gz,zip}"}) {
		t.Errorf("exclude is %q", got)
	}
	if c.String("host") != "web1" || !c.Bool("once") || c.String("state") != "/var/lib/logdrive" || !reflect.DeepEqual(paths, []string{"/var/log", "/srv/**/*.log"}) {
		t.Errorf("host %q, once %v, state %q, paths %q", c.String("host"), c.Bool("once"), c.String("state"), paths)
	}
}

// Flags win over the environment, that over the file, that over the defaults.
func TestPrecedence(t *testing.T) {
	t.Setenv("LOGDRIVE_HOST", "from-env")
	t.Setenv("LOGDRIVE_STATE", "from-env")
	c, paths, err := settings(t, "host: from-file\nstate: from-file\ncodec: none\npaths: [from-file]\n", "--host", "from-flag", "from-argument")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"host": "from-flag", "state": "from-env", "codec": "none", "log-level": "info"} {
		if got := c.String(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if !reflect.DeepEqual(paths, []string{"from-argument"}) {
		t.Errorf("paths are %q", paths)
	}
}

func TestConfigFaults(t *testing.T) {
	tests := []struct{ name, config, says string }{
		{"unknown key", "host: a\n\nholdd: true\n", `agent.yml:3: unknown key "holdd"; did you mean "hold"?`},
		{"of another command", "archive: /a\n", `agent.yml:1: unknown key "archive"`},
		{"config in a config", "config: a.yml\n", `agent.yml:1: unknown key "config"`},
		{"twice", "host: a\nhost: b\n", "host"},
		{"no number", "once: perhaps\n", "agent.yml:1: once:"},
		{"list for one value", "host: [a, b]\n", "agent.yml:1: host takes one value, not 2"},
		{"mapping", "host:\n  name: a\n", "agent.yml:1: host: its value must be a text"},
		{"list of lists", "paths: [[a]]\n", "agent.yml:1: paths: its value must be a text"},
		{"empty value", "host:\n", "agent.yml:1: host: its value must be a text"},
		{"a list", "- a\n- b\n", "settings are written `name: value`"},
		{"no YAML", "host: [a\n", "agent.yml"},
		{"flag among paths", "paths: [a.log, --once]\n", "--once stands behind a path"},
		{"nothing to ship", "host: a\n", "no PATH is given"},
		{"codec", "codec: lz4\npaths: [a]\n", `unknown codec "lz4": use zstd, s2 or none`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := settings(t, tt.config); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want one that says %q", err, tt.says)
			}
		})
	}
}

// Every flag can be set by the environment, under its own name.
func TestEveryFlagHasAnEnvironmentVariable(t *testing.T) {
	for _, command := range everyCommand(newApp().Commands) {
		for _, f := range command.Flags {
			want := "LOGDRIVE_" + strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))
			if got := f.(cli.DocGenerationFlag).GetEnvVars(); f.Names()[0] != "help" && !reflect.DeepEqual(got, []string{want}) {
				t.Errorf("%s --%s: variables %q, want %q", command.Name, f.Names()[0], got, want)
			}
		}
	}
}

// FuzzConfig: no file makes the program panic, and a setting that is read names a key and its line.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"host: a\n", "paths: [a, 'b']\n", "a: &x b\nc: *x\n", "? a\n: b\n", "---\na: 1\n---\nb: 2\n", "a: |\n  b\n", "{a: b}", "<<: *a", "a: !!int 1", "\xff", "\"a\": b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		settings, err := parseConfig("f.yml", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "config f.yml") {
				t.Fatalf("error %v does not name the file", err)
			}
			return
		}
		for _, s := range settings {
			if s.line < 1 || s.line > len(data)+1 {
				t.Fatalf("%+v of %q", s, data)
			}
		}
	})
}
