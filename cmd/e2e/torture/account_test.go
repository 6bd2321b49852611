package torture_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cmd/e2e/torture"
)

// The account finds everything that is wrong with a history of three files of ten lines each, of which the second was cut.
func TestAccount(t *testing.T) {
	exact, racing := torture.Scenario{Lossy: true}, torture.Scenario{Lossy: true, Races: true}
	var text []byte
	ends := []int64{0}
	for n := range 30 {
		text = append(text, exact.Line(n+1)...)
		ends = append(ends, int64(len(text)))
	}
	file := func(first, lines int, gone torture.Gone) torture.Incarnation {
		return torture.Incarnation{From: ends[first], Length: ends[first+lines] - ends[first], Gone: gone}
	}
	w := torture.Written{Lines: 30, Incarnations: []torture.Incarnation{file(0, 10, torture.Kept), file(10, 10, torture.Cut), file(20, 10, torture.Kept)}}
	came := func(first, from, lines int) torture.Run {
		at, end := ends[first+from], ends[first+from+lines]
		return torture.Run{From: at - ends[first], To: end - ends[first], Data: text[at:end]}
	}
	missing := func(first, from, to int, reason string) torture.Run {
		return torture.Run{From: ends[first+from] - ends[first], To: ends[first+to] - ends[first], Reason: reason}
	}
	open := torture.Run{From: ends[15] - ends[10], To: -1, Reason: "vanished"}
	runs := func(r ...torture.Run) []torture.Run { return r }
	first, last := runs(came(0, 0, 10)), runs(came(20, 0, 4), came(20, 4, 6))
	whole := runs(came(10, 0, 5), missing(10, 5, 10, "truncated"))
	for _, tt := range []struct {
		name     string
		scenario torture.Scenario
		came     [][]torture.Run
		fault    string // "" if there is none
	}{
		{"exact", exact, [][]torture.Run{first, whole, last}, ""},
		{"end not known", exact, [][]torture.Run{first, runs(came(10, 0, 5), open), last}, ""},
		{"nothing of it was had", exact, [][]torture.Run{first, runs(missing(10, 0, 10, "truncated")), last}, ""},
		{"an opened generation without bytes", exact, [][]torture.Run{first, nil, whole, last}, ""},
		{"hole", exact, [][]torture.Run{first, runs(came(10, 0, 5), missing(10, 6, 10, "truncated")), last}, "goes to"},
		{"overlap", exact, [][]torture.Run{first, runs(came(10, 0, 6), missing(10, 5, 10, "truncated")), last}, "goes to"},
		{"came twice", exact, [][]torture.Run{first, whole, append(slices.Clone(last), came(20, 4, 6))}, "goes to"},
		{"said too little", exact, [][]torture.Run{first, runs(came(10, 0, 5), missing(10, 5, 9, "truncated")), last}, "nothing is said"},
		{"said too little in a race", racing, [][]torture.Run{first, runs(came(10, 0, 5), missing(10, 5, 9, "truncated")), last}, ""},
		{"said too much", exact, [][]torture.Run{first, runs(came(10, 0, 5), missing(10, 5, 11, "truncated")), last}, "no file"},
		{"wrong reason", exact, [][]torture.Run{first, runs(came(10, 0, 5), missing(10, 5, 10, "unexplained")), last}, "is declared missing"},
		{"could be had", exact, [][]torture.Run{runs(came(0, 0, 5), missing(0, 5, 10, "truncated")), whole, last}, "is declared missing"},
		{"could be had in a race", racing, [][]torture.Run{runs(came(0, 0, 5)), whole, last}, "nothing is said"},
		{"wrong order", exact, [][]torture.Run{last, first, whole}, "no file"},
		{"came from elsewhere", exact, [][]torture.Run{first, runs(torture.Run{To: 10, Data: text[1:11]}), last}, "no file"},
		{"untold", exact, [][]torture.Run{first, last}, "nothing is said of it"},
		{"untold in a race", racing, [][]torture.Run{first, last}, ""},
	} {
		var all []torture.Generation
		for i, r := range tt.came {
			all = append(all, torture.Generation{Number: uint64(i + 1), Runs: r})
		}
		faults := strings.Join(tt.scenario.Account(w, all).Faults, "; ")
		if (tt.fault == "") != (faults == "") || !strings.Contains(faults, tt.fault) {
			t.Errorf("%s: faults %q, want %q", tt.name, faults, tt.fault)
		}
	}
}
