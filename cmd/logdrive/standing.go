package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/logdrive/logdrive/receiver"
)

// row is a receiver as it is printed.
type row struct {
	Name        string `json:"name"`
	Archive     string `json:"archive"`
	Zone        string `json:"zone"`
	State       string `json:"state"` // see stateOf
	Coordinator bool   `json:"coordinator"`
	Partitions  []int  `json:"partitions"` // that it owns
}

func rowOf(s receiver.Standing) row {
	owned := append([]int{}, s.Partitions...) // in JSON an empty list, not null
	return row{Name: s.Name, Archive: s.ID, Zone: s.Zone, State: stateOf(s), Coordinator: s.Coordinator, Partitions: owned}
}

func stateOf(s receiver.Standing) string {
	switch {
	case !s.Alive && s.Drained:
		return "gone, drained"
	case !s.Alive:
		return "gone"
	case s.Drained && len(s.Partitions) > 0:
		return "draining"
	case s.Drained:
		return "drained"
	}
	return "working"
}

// print lists receivers.
func (d drain) print(all []receiver.Standing) error {
	rows := make([]row, len(all))
	for i, s := range all {
		rows[i] = rowOf(s)
	}
	if d.Bool("json") {
		return printJSON(d.App.Writer, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(d.App.Writer, "no receiver has joined this hub yet")
		return err
	}
	return printRows(d.App.Writer, rows)
}

// tell says what has become of one receiver.
func (d drain) tell(archive, text string) error {
	if !d.Bool("json") {
		_, err := fmt.Fprintln(d.App.Writer, text)
		return err
	}
	all, err := receiver.Standings(d.Context.Context, d.js)
	if err != nil {
		return err
	}
	return printJSON(d.App.Writer, rowOf(find(all, archive)))
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printRows(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tARCHIVE\tZONE\tSTATE\tCOORDINATES\tPARTITIONS")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", dash(r.Name), r.Archive, dash(r.Zone), r.State, dash(map[bool]string{true: "yes"}[r.Coordinator]), ranges(r.Partitions))
	}
	return t.Flush()
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// ranges writes ascending numbers as 0-3,7.
func ranges(numbers []int) string {
	text := ""
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		if text != "" {
			text += ","
		}
		text += strconv.Itoa(numbers[i])
		if end > i {
			text += "-" + strconv.Itoa(numbers[end])
		}
		i = end + 1
	}
	return dash(text)
}
