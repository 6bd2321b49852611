package assign_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/receiver/assign"
)

var update = flag.Bool("update", false, "write the wishes into testdata as they are now")

// TestGolden plays the scenarios in testdata. Each is input and answer in one: a line of `partitions N` or of `members ID@ZONE:draining …` is
// a change, and the indented lines under it are the wishes that follow from it.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				err = os.WriteFile(path, []byte(got), 0o644)
			} else if got != string(want) {
				err = fmt.Errorf("%s says otherwise (-update accepts this):\n%s", path, got)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// play answers each change in a scenario anew.
func play(t *testing.T, scenario string) string {
	var out strings.Builder
	var members []assign.Member
	var wishes []assign.Wish
	var partitions int
	for line := range strings.Lines(scenario) {
		if strings.HasPrefix(line, "  ") {
			continue // an answer, given again below
		}
		out.WriteString(line)
		switch fields := strings.Fields(line); {
		case len(fields) == 0 || fields[0] == "#":
			continue
		case fields[0] == "partitions":
			partitions = number(t, fields[1])
			if members == nil {
				continue
			}
		case fields[0] == "members":
			members = parseMembers(fields[1:])
		default:
			t.Fatalf("no such change: %s", line)
		}
		next := assign.Wishes(members, wishes, partitions)
		out.WriteString(describe(members, wishes, next))
		wishes = next
	}
	return out.String()
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseMembers(fields []string) []assign.Member {
	members := make([]assign.Member, len(fields))
	for i, field := range fields {
		field, state, _ := strings.Cut(field, ":")
		id, zone, _ := strings.Cut(field, "@")
		members[i] = assign.Member{ID: id, Zone: zone, Draining: state == "draining"}
	}
	return members
}

// describe lists the partitions of each member, those of nobody, and those that moved from one to another.
func describe(members []assign.Member, before, after []assign.Wish) string {
	var out strings.Builder
	list := func(name, id string) {
		out.WriteString("  " + name + ":")
		for p, w := range after {
			if w.Owner == id {
				fmt.Fprintf(&out, " %d", p)
			}
		}
		out.WriteString("\n")
	}
	listed := map[string]bool{}
	for _, m := range members {
		if !listed[m.ID] {
			list(m.ID, m.ID)
		}
		listed[m.ID] = true
	}
	if slices.ContainsFunc(after, func(w assign.Wish) bool { return w.Owner == "" }) {
		list("nobody", "")
	}
	out.WriteString("  moved:")
	for p := range min(len(before), len(after)) {
		if was, is := before[p].Owner, after[p].Owner; was != is && was != "" && is != "" {
			fmt.Fprintf(&out, " %d:%s>%s", p, was, is)
		}
	}
	return out.String() + "\n"
}
