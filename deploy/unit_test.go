package deploy_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// unit are the settings of the unit; of one that stands several times the last.
func unit(t *testing.T) map[string]string {
	t.Helper()
	settings := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(read(t, "systemd/logdrive-hub.service"), -1) {
		settings[line[1]] = line[2]
	}
	return settings
}

func TestUnit(t *testing.T) {
	u := unit(t)
	for setting, want := range map[string]string{
		"Type":                  "notify",     // it tells when it serves
		"TimeoutStartSec":       "infinity",   // which may take as long as the others take
		"Restart":               "on-failure", // not after it has left
		"User":                  "logdrive",
		"StateDirectoryMode":    "0700",
		"NoNewPrivileges":       "yes",
		"ProtectSystem":         "strict",
		"LoadCredential":        "secret:/etc/logdrive/secret", // which stays root's
		"StartLimitIntervalSec": "0",
	} {
		if u[setting] != want {
			t.Errorf("%s is %q, want %q", setting, u[setting], want)
		}
	}
	stop, err := time.ParseDuration(strings.Replace(u["TimeoutStopSec"], "min", "m", 1))
	must(t, err)
	if stop < ending(t) {
		t.Errorf("killed after %s, ending takes up to %s", stop, ending(t))
	}
	if args := strings.Fields(u["ExecStart"]); flag(t, args, "secret") != "%d/secret" || flag(t, args, "config") != "/etc/logdrive/hub.yaml" {
		t.Errorf("started as %s", u["ExecStart"])
	}
	state := filepath.Join("/var/lib", u["StateDirectory"])
	if store := config(t, stack(t))["store"]; !below(state, store) || u["RequiresMountsFor"] != state {
		t.Errorf("store %s, state directory %s, mounted %s", store, state, u["RequiresMountsFor"])
	}
}

// systemd itself reads the unit, where it is installed.
func TestUnitIsTakenBySystemd(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text := strings.Replace(read(t, "systemd/logdrive-hub.service"), "/usr/local/bin/logdrive", program(t), 1)
	path := write(t, filepath.Join(t.TempDir(), "logdrive-hub.service"), text)
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "logdrive-hub.service") && !strings.Contains(line, "executable") {
			t.Errorf("%s (%v)", line, err)
		}
	}
}
