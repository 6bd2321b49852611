package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTableIsMarkdownOfEvenWidth(t *testing.T) {
	var tab table
	costs := []cost{{name: "agent", cpu: time.Second, rss: 1 << 20, peak: 2 << 20}, {name: "hub", cpu: 2 * time.Second}, {name: "receiver", cpu: time.Second}}
	tab.machine("copy", plain{bytes: 1 << 30, took: 2 * time.Second, cpu: time.Second})
	tab.catchUp("catchup", caughtUp{bytes: 1 << 30, lines: 5_000_000, visible: 2 * time.Second, durable: 4 * time.Second, cost: costs})
	tab.steady("steady", steadied{took: 10 * time.Second, cost: costs})
	tab.idle("idle", idled{span: time.Second, spell: time.Second, cost: costs, busy: costs})
	tab.moved(moved{name: "SIGTERM", moves: 2, pauses: latencies{time.Second, 2 * time.Second}})
	tab.lost(loss{name: "kill -9", stored: latencies{time.Second}, archived: latencies{2 * time.Second}})
	var b bytes.Buffer
	if err := tab.print(&b); err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(strings.TrimSpace(b.String()), "\n\n") {
		rows := strings.Split(part, "\n")
		for _, row := range rows {
			if len(row) != len(rows[0]) || strings.Count(row, "|") != strings.Count(rows[0], "|") {
				t.Errorf("uneven:\n%s", part)
			}
		}
	}
	for _, want := range []string{"| catchup  |           256 |           512 |  1.25 M |    0.50 |       - |      4.00 |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
