package deploy_test

import (
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/dustin/go-humanize"
)

// flyApp is what these apps say in the words of flyctl; a word that is not here is a mistake.
type flyApp struct {
	App           string `toml:"app"`
	PrimaryRegion string `toml:"primary_region"`
	KillSignal    string `toml:"kill_signal"`
	KillTimeout   string `toml:"kill_timeout"`
	Build         struct {
		Dockerfile string `toml:"dockerfile"`
		Target     string `toml:"build-target"`
	} `toml:"build"`
	Deploy struct {
		Strategy       string  `toml:"strategy"`
		MaxUnavailable float64 `toml:"max_unavailable"`
		WaitTimeout    string  `toml:"wait_timeout"`
	} `toml:"deploy"`
	Env       map[string]string `toml:"env"`
	Processes map[string]string `toml:"processes"`
	Files     []struct {
		GuestPath string   `toml:"guest_path"`
		Secret    string   `toml:"secret_name"`
		Processes []string `toml:"processes"`
	} `toml:"files"`
	Mounts []struct {
		Source      string   `toml:"source"`
		Destination string   `toml:"destination"`
		InitialSize string   `toml:"initial_size"`
		Threshold   int      `toml:"auto_extend_size_threshold"`
		Increment   string   `toml:"auto_extend_size_increment"`
		Limit       string   `toml:"auto_extend_size_limit"`
		Processes   []string `toml:"processes"`
	} `toml:"mounts"`
	Checks map[string]struct {
		Type      string   `toml:"type"`
		Port      int      `toml:"port"`
		Path      string   `toml:"path"`
		Interval  string   `toml:"interval"`
		Timeout   string   `toml:"timeout"`
		Grace     string   `toml:"grace_period"`
		Processes []string `toml:"processes"`
	} `toml:"checks"`
	Metrics []struct {
		Port      int      `toml:"port"`
		Path      string   `toml:"path"`
		Processes []string `toml:"processes"`
	} `toml:"metrics"`
	Restart []struct {
		Policy    string   `toml:"policy"`
		Retries   int      `toml:"retries"`
		Processes []string `toml:"processes"`
	} `toml:"restart"`
	VM []struct {
		Size      string   `toml:"size"`
		Memory    string   `toml:"memory"`
		Processes []string `toml:"processes"`
	} `toml:"vm"`
}

// eachShape runs a test with the file of each shape, and the part of the hub that names its region.
func eachShape(t *testing.T, test func(t *testing.T, app flyApp, region string)) {
	for shape, region := range map[string]string{"regions": "FLY_REGION", "hub-and-spoke": "PRIMARY_REGION"} {
		t.Run(shape, func(t *testing.T) {
			var app flyApp
			meta, err := toml.DecodeFile(filepath.Join("fly", shape+".toml"), &app)
			must(t, err)
			if unknown := meta.Undecoded(); len(unknown) > 0 {
				t.Fatalf("unknown settings %v", unknown)
			}
			test(t, app, region)
		})
	}
}

// command is the command line of a process group. None has quotes.
func (a flyApp) command(group string) []string { return strings.Fields(a.Processes[group]) }

// machine is the environment that Fly gives a machine.
func (a flyApp) machine(group string) []string {
	return []string{
		"FLY_MACHINE_ID=1a", "FLY_APP_NAME=" + a.App, "FLY_PROCESS_GROUP=" + group, "FLY_REGION=ams", "FLY_PRIVATE_IP=fdaa::1", "PRIMARY_REGION=" + a.PrimaryRegion,
	}
}

func TestFlyCommandsAreTaken(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, region string) {
		secret := write(t, filepath.Join(t.TempDir(), "secret"), "of all\n")
		for group := range app.Processes {
			args := with(t, with(t, app.command(group), "secret", secret), "http-listen", "127.0.0.1:0")
			if group == "hub" {
				hubStarts(t, app.machine(group), args...)
				continue
			}
			said := receiverStarts(t, app.machine(group), with(t, args, "archive", t.TempDir())...)
			want := map[string]string{"FLY_REGION": "ams", "PRIMARY_REGION": app.PrimaryRegion}[region] + "." + app.App + ".internal:"
			if !strings.Contains(said, want) {
				t.Errorf("receiver looks elsewhere than at %s:\n%s", want, said)
			}
		}
	})
}

func TestFlyShapes(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, region string) {
		peers, err := url.Parse(flag(t, app.command("hub"), "peers"))
		must(t, err)
		shape := peers.Query().Get("shape")
		if want := map[string]string{"FLY_REGION": "", "PRIMARY_REGION": "hub-and-spoke"}[region]; peers.Scheme != "fly" || shape != want {
			t.Errorf("peers are %s, want shape %q", peers, want)
		}
		if n := flag(t, app.command("hub"), "nodes"); n != "3" {
			t.Errorf("founded by %s nodes", n)
		}
	})
}

func TestFlySectionsAreForEachProcess(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, _ string) {
		sections := map[string][][]string{}
		for _, s := range app.Files {
			sections["files"] = append(sections["files"], s.Processes)
		}
		for _, s := range app.Mounts {
			sections["mounts"] = append(sections["mounts"], s.Processes)
		}
		for _, s := range app.Checks {
			sections["checks"] = append(sections["checks"], s.Processes)
		}
		for _, s := range app.Metrics {
			sections["metrics"] = append(sections["metrics"], s.Processes)
		}
		for _, s := range app.Restart {
			sections["restart"] = append(sections["restart"], s.Processes)
		}
		for _, s := range app.VM {
			sections["vm"] = append(sections["vm"], s.Processes)
		}
		for _, name := range []string{"files", "mounts", "checks", "metrics", "restart", "vm"} {
			groups := slices.Sorted(slices.Values(slices.Concat(sections[name]...)))
			if !slices.Equal(groups, []string{"hub", "receiver"}) {
				t.Errorf("%s are for %q, want each process once", name, groups)
			}
		}
	})
}

func TestFlyPathsAndPortsAgree(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, region string) {
		hub, receiver := app.command("hub"), app.command("receiver")
		for _, m := range app.Mounts {
			dir := map[string]string{"hub": "store", "receiver": "archive"}[m.Processes[0]]
			if path := flag(t, app.command(m.Processes[0]), dir); !below(m.Destination, path) {
				t.Errorf("--%s %s is not below the volume at %s", dir, path, m.Destination)
			}
		}
		for group := range app.Processes {
			if got := flag(t, app.command(group), "secret"); got != app.Files[0].GuestPath {
				t.Errorf("%s reads its secret from %s, it is in %s", group, got, app.Files[0].GuestPath)
			}
			_, port, err := net.SplitHostPort(flag(t, app.command(group), "http-listen"))
			must(t, err)
			if check := app.Checks[group]; port != strconv.Itoa(check.Port) || port != strconv.Itoa(app.Metrics[0].Port) {
				t.Errorf("%s answers at %s, is checked at %d and asked for metrics at %d", group, port, check.Port, app.Metrics[0].Port)
			}
		}
		for _, listener := range []string{"listen", "leaf-listen", "cluster-listen", "http-listen"} {
			if host, _, err := net.SplitHostPort(flag(t, hub, listener)); err != nil || host != "::" {
				t.Errorf("--%s %s does not listen to the private network, which is IPv6", listener, flag(t, hub, listener))
			}
		}
		_, port, err := net.SplitHostPort(flag(t, hub, "listen"))
		must(t, err)
		if got, want := flag(t, receiver, "hub"), "nats://${"+region+"}.${FLY_APP_NAME}.internal:"+port; got != want {
			t.Errorf("receivers look for %s, want %s", got, want)
		}
	})
}

// What Fly asks must be red only where waiting helps: a hub that does not serve holds the deploy, a full archive does not.
func TestFlyChecks(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, _ string) {
		for group, path := range map[string]string{"hub": "/readyz", "receiver": "/healthz"} {
			check := app.Checks[group]
			if check.Type != "http" || check.Path != path || !slices.Equal(check.Processes, []string{group}) {
				t.Errorf("%s is checked by %+v, want %s", group, check, path)
			}
			if span(t, check.Timeout) >= span(t, check.Interval) || span(t, check.Grace) <= 0 {
				t.Errorf("times of %+v", check)
			}
		}
		if d := app.Deploy; d.Strategy != "rolling" || d.MaxUnavailable != 1 || span(t, d.WaitTimeout) <= span(t, app.KillTimeout) {
			t.Errorf("deploy is %+v: two of three nodes must be there, and a node has time to stop", d)
		}
		if r := app.Restart[0]; r.Policy != "on-failure" {
			t.Errorf("restart is %+v: a node that has left may not come back", r)
		}
	})
}

func TestFlyLeavesTimeToStop(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, _ string) {
		if app.KillSignal != "SIGTERM" {
			t.Errorf("kill signal is %s", app.KillSignal)
		}
		if got := span(t, app.KillTimeout); got < ending(t) || got > 5*time.Minute {
			t.Errorf("killed after %s, want %s at least and no more than the 5m that Fly allows", got, ending(t))
		}
	})
}

func TestFlySecretIsNoSetting(t *testing.T) {
	known := help(t, "hub") + help(t, "receiver")
	eachShape(t, func(t *testing.T, app flyApp, _ string) {
		for _, f := range app.Files {
			if f.Secret == "" || strings.Contains(known, "$"+f.Secret+"]") {
				t.Errorf("secret %q: Fly puts it into the environment, too, where it would be a flag's value", f.Secret)
			}
		}
		for name := range app.Env {
			if strings.Contains(name, "SECRET") {
				t.Errorf("secret %s in the file", name)
			}
		}
	})
}

func TestFlyMachinesAreLargeEnough(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, _ string) {
		limit := bytesOf(t, app.Env["GOMEMLIMIT"])
		for _, vm := range app.VM {
			if memory := bytesOf(t, vm.Memory); limit*2 > memory {
				t.Errorf("%v have %s, of which the heap may take %s", vm.Processes, vm.Memory, app.Env["GOMEMLIMIT"])
			}
		}
		for _, m := range app.Mounts {
			if m.Source == "hub" && bytesOf(t, m.InitialSize) < holding() {
				t.Errorf("store has %s, and may come to hold %s", m.InitialSize, humanize.IBytes(uint64(holding())))
			}
			if m.Source == "archive" && (m.Threshold == 0 || bytesOf(t, m.Limit) <= bytesOf(t, m.InitialSize)) {
				t.Errorf("archive's volume %+v does not grow", m)
			}
		}
	})
}

func TestFlyBuildsTheImage(t *testing.T) {
	eachShape(t, func(t *testing.T, app flyApp, _ string) {
		if at := filepath.Join("fly", app.Build.Dockerfile); at != "Dockerfile" { // relative to the file it stands in
			t.Errorf("builds %s", at)
		}
		at := slices.IndexFunc(stages(), func(s stage) bool { return s.name == app.Build.Target })
		if at < 0 || stages()[at].all("USER") != nil {
			t.Errorf("target %q is no stage, or one that cannot write to a volume of root's", app.Build.Target)
		}
	})
}

func span(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

// bytesOf reads sizes as Fly and Go write them. Fly's gb are GiB.
func bytesOf(t *testing.T, text string) int64 {
	t.Helper()
	n, err := humanize.ParseBytes(strings.Replace(text, "gb", "GiB", 1))
	must(t, err)
	return int64(n)
}
