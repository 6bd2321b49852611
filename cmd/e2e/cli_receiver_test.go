package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster/wire"
)

// receiverRow is what `logdrive receiver drain --json` says of a receiver.
type receiverRow struct {
	Name, Archive, Zone, State string
	Coordinator                bool
	Partitions                 []int
}

// receivers is a site with further receivers beside its own.
type receivers struct {
	*site
	all map[string]*role // by name
}

// partitionsOfReceivers is enough for shares that differ.
const partitionsOfReceivers = 8

// newReceivers starts a hub with receivers of these names; each gets an archive of its own, the site's own belongs to the first.
func newReceivers(t testing.TB, names ...string) *receivers {
	t.Helper()
	r := &receivers{site: newSite(t, options{hub: []string{"--partitions", fmt.Sprint(partitionsOfReceivers)}, receiver: []string{"--name", names[0], "--zone", "west"}}), all: map[string]*role{}}
	r.hub.start().ready()
	r.receiver.start().ready()
	r.all[names[0]] = r.receiver
	for _, name := range names[1:] {
		r.join(name)
	}
	return r
}

// join starts one more receiver in a directory of its name.
func (r *receivers) join(name string) {
	r.t.Helper()
	dir := r.path(name)
	must(r.t, os.MkdirAll(dir, 0o755))
	r.all[name] = newRole(r.t, dir, "receiver", "--hub", r.client.Client(), "--secret", r.secret, "--archive", r.archiveOf(name), "--name", name)
	r.all[name].start().ready()
}

func (r *receivers) archiveOf(name string) string {
	if r.all[name] == r.receiver && r.all[name] != nil {
		return r.archiveDir
	}
	return filepath.Join(r.path(name), "archive")
}

// drain runs the command with the hub's address and secret.
func (r *receivers) drain(args ...string) (said string, status int) {
	r.t.Helper()
	return command(r.t, r.dir, "", append([]string{"receiver", "drain", "--hub", r.clientURL, "--secret", r.secret}, args...)...)
}

// rows lists the receivers by name.
func (r *receivers) rows() map[string]receiverRow {
	r.t.Helper()
	said, status := r.drain("--json")
	var rows []receiverRow
	if err := json.Unmarshal([]byte(said), &rows); status != 0 || err != nil {
		r.t.Fatalf("exit status %d, %v, it said\n%s", status, err, said)
	}
	by := map[string]receiverRow{}
	for _, row := range rows {
		by[row.Name] = row
	}
	return by
}

// own waits until the receivers own so many partitions each.
func (r *receivers) own(want map[string]int) (rows map[string]receiverRow) {
	r.t.Helper()
	until(r.t, fmt.Sprintf("the receivers own %v", want), func() bool {
		rows = r.rows()
		for name, n := range want {
			if len(rows[name].Partitions) != n {
				return false
			}
		}
		return true
	})
	return rows
}

// A receiver is drained while an agent ships: its partitions move, nothing is lost or doubled, and --undo balances again.
func TestCLIReceiverDrain(t *testing.T) {
	slow(t)
	r := newReceivers(t, "left", "right")
	r.agent.start().ready()
	src := r.newSource("app.log")
	stop := src.keepWriting(1, habit{lines: 20, pause: 5 * time.Millisecond, every: time.Second, rotate: byRename})
	defer stop()
	rows := r.own(map[string]int{"left": 4, "right": 4})
	until(t, "bytes arrive", func() bool { return r.together(src) > 0 })

	owner, other := "left", "right"
	if slices.Contains(rows["right"].Partitions, wire.Partition(host, partitionsOfReceivers)) {
		owner, other = other, owner
	}
	said, status := r.drain(owner)
	if status != 0 || !strings.Contains(said, owner+" ("+rows[owner].Archive+") owns nothing") {
		t.Fatalf("exit status %d, it said\n%s", status, said)
	}
	if row := r.rows()[owner]; row.State != "drained" || len(row.Partitions) != 0 {
		t.Errorf("after the drain: %+v", row)
	}
	r.own(map[string]int{owner: 0, other: partitionsOfReceivers})
	grown := r.together(src)
	until(t, "bytes arrive at the other", func() bool { return r.together(src) > grown })

	r.all[owner].restart() // what is drained stays drained
	r.all[owner].ready()
	if said, status := r.drain(rows[owner].Archive, "--undo"); status != 0 || !strings.Contains(said, "may own partitions again") {
		t.Fatalf("exit status %d, it said\n%s", status, said)
	}
	r.own(map[string]int{owner: 4, other: 4})
	stop()
	want := src.size()
	until(t, "everything has arrived", func() bool { return r.together(src) >= want })
	r.agent.stop()
	for _, role := range r.all {
		role.stop()
	}
	equalTogether(t, src, r.archiveOf("left"), r.archiveOf("right"))
	r.hub.stop()
}

// together is how many bytes of a source stand in all archives.
func (r *receivers) together(src *source) (bytes int64) {
	r.t.Helper()
	for name := range r.all {
		held, err := list(r.archiveOf(name))
		must(r.t, err)
		file, err := held.open(src)
		must(r.t, err)
		n, err := io.Copy(io.Discard, file)
		must(r.t, errors.Join(err, file.Close()))
		bytes += n
	}
	return bytes
}

// The last receiver that takes partitions keeps them: its drain says so and ends with the time it has.
func TestCLIReceiverDrainOfTheLast(t *testing.T) {
	slow(t)
	r := newReceivers(t, "only")
	r.own(map[string]int{"only": partitionsOfReceivers})
	said, status := r.drain("only", "--timeout", "2s")
	for _, want := range []string{"warning: no other receiver takes partitions", "not done after 2s: only (", "still has 8 partitions: 0-7. ", "--undo"} {
		if status != 1 || !strings.Contains(said, want) {
			t.Errorf("exit status %d, want 1 and %q in\n%s", status, want, said)
		}
	}
	if row := r.rows()["only"]; row.State != "draining" || !row.Coordinator || row.Zone != "west" {
		t.Errorf("it stands as %+v", row)
	}
	r.join("next")
	until(t, "the next one is a member", func() bool { return len(r.rows()) == 2 })
	if said, status := r.drain("--timeout", "1m", "only"); status != 0 || strings.Contains(said, "warning") {
		t.Errorf("exit status %d, it said\n%s", status, said)
	}
	r.own(map[string]int{"only": 0, "next": partitionsOfReceivers})
}

// Receivers are listed with what tells them apart; a name that means none or several of them is refused.
func TestCLIReceiverDrainFaults(t *testing.T) {
	slow(t)
	r := newReceivers(t, "twin")
	r.all["copy"] = newRole(t, tempDir(t), "receiver", "--hub", r.client.Client(), "--secret", r.secret, "--archive", r.path("copy"), "--name", "twin")
	r.all["copy"].start().ready()
	r.all["nameless"] = newRole(t, tempDir(t), "receiver", "--hub", r.client.Client(), "--secret", r.secret, "--archive", r.path("nameless"))
	r.all["nameless"].start().ready()
	until(t, "all have joined", func() bool {
		said, _ := r.drain("--json")
		return strings.Count(said, `"archive"`) == 3
	})
	must(t, os.WriteFile(r.path("wrong"), []byte("wrong\n"), 0o600))
	hub, secret := "--hub "+r.clientURL+" ", "--secret "+r.secret+" "
	for args, says := range map[string]string{
		hub + secret + "nobody":                       `no receiver is named "nobody": there are `,
		hub + secret + "twin":                         `2 receivers are named "twin": say which by its archive's id; there are twin (`,
		hub + secret + "one two":                      `drain takes one argument: what is "two"?`,
		hub + secret + "--undo":                       "--undo of what? Name a receiver",
		hub + secret + "twin --undoo":                 "flag provided but not defined: -undoo",
		hub + secret + "--timeout 0s twin":            "--timeout 0s: it must be positive",
		hub + "twin":                                  "--secret FILE is missing",
		secret + "twin":                               "--hub nats://host:port is missing",
		hub + "--secret " + r.path("wrong") + " twin": "it refuses the secret",
		secret + "--hub nats://127.0.0.1:1 twin":      "no hub answers",
		secret + "--hub " + r.leafURL + " twin":       "is for agents: receivers need nats://host:port",
	} {
		said, status := command(t, r.dir, "", append([]string{"receiver", "drain"}, strings.Fields(args)...)...)
		if rows := strings.Split(strings.TrimSpace(said), "\n"); status != 1 || len(rows) != 1 || !strings.Contains(said, says) {
			t.Errorf("drain %s: exit status %d, it said\n%s\nwant 1 and %q", args, status, said, says)
		}
	}
	if host, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(host, ".")
		said, _ := r.drain()
		if !strings.Contains(said, "\n"+short+"-") && !strings.HasPrefix(said, short+"-") {
			t.Errorf("no receiver is named after this machine in\n%s", said)
		}
	}
}

func TestCLIReceiverFlags(t *testing.T) {
	for args, says := range map[string]string{
		"--lease 10ms":                      "--lease 10ms: between 500ms and 1m0s are possible",
		"--lease 2h":                        "--lease 2h0m0s: between 500ms and 1m0s are possible",
		"--lease soon":                      `invalid value "soon" for flag -lease`,
		"--zone a\u00a0b":                   `--zone "a\u00a0b": write one word`,
		"--name \x01":                       `--name "\x01": write one word`,
		"--zone " + strings.Repeat("z", 65): "65 bytes are too many",
		"drain --hub x --secret none":       "read --secret: open none: no such file",
	} {
		said, status := command(t, tempDir(t), "", append([]string{"receiver"}, strings.Split(args, " ")...)...)
		if status != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, says) {
			t.Errorf("receiver %s: exit status %d, it said\n%s\nwant 1 and %q", args, status, said, says)
		}
	}
}
