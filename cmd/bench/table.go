package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// table collects the figures of all scenarios. It prints as Markdown that reads well as plain text, too.
type table struct {
	machines, catches, steadies, idles, moves, losses [][]string
	yard                                              map[string]float64 // MiB/s of the machine, by yardstick
}

func (t *table) machine(name string, p plain) {
	if t.yard == nil {
		t.yard = map[string]float64{}
	}
	t.yard[name] = rate(p.bytes, p.took)
	t.machines = append(t.machines, []string{name, fmt.Sprintf("%.0f", t.yard[name]), fmt.Sprintf("%.2f", perGiB(p.cpu, p.bytes))})
}

func (t *table) catchUp(name string, r caughtUp) {
	row := []string{
		name, fmt.Sprintf("%.0f", rate(r.bytes, r.durable)), fmt.Sprintf("%.0f", rate(r.bytes, r.visible)),
		fmt.Sprintf("%.2f M", float64(r.lines)/1e6/r.durable.Seconds()), t.ratio("copy", r), t.ratio("pipe", r), fmt.Sprintf("%.2f", perGiB(total(r.cost), r.bytes)),
	}
	for _, c := range r.cost {
		row = append(row, fmt.Sprintf("%.2f", perGiB(c.cpu, r.bytes)))
	}
	for _, c := range r.cost {
		row = append(row, mib(c.peak))
	}
	t.catches = append(t.catches, row)
}

// ratio is the speed as a part of the machine's, if that was measured in the same run.
func (t *table) ratio(yardstick string, r caughtUp) string {
	if t.yard[yardstick] == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", rate(r.bytes, r.durable)/t.yard[yardstick])
}

func (t *table) steady(name string, r steadied) {
	row := []string{name}
	for _, c := range r.cost {
		row = append(row, core(c.cpu, r.took))
	}
	row = append(row, core(r.own, r.took))
	for _, c := range r.cost {
		row = append(row, mib(c.peak))
	}
	t.steadies = append(t.steadies, append(row, r.visible.String(), r.durable.String()))
}

func (t *table) idle(name string, r idled) {
	t.idles = append(t.idles, []string{
		name, fmt.Sprintf("%.1f", r.took.Seconds()), core(r.cost[0].cpu, r.span), core(total(r.cost), r.span), mib(r.cost[0].rss),
		core(r.busy[0].cpu, r.spell), mib(r.busy[0].peak), r.visible.String(),
	})
}

func (t *table) moved(m moved) {
	t.moves = append(t.moves, []string{m.name, fmt.Sprint(m.moves), m.pauses.span(), m.durable.span()})
}

func (t *table) lost(l loss) {
	t.losses = append(t.losses, []string{l.name, fmt.Sprint(len(l.stored)), l.stored.span(), l.archived.span()})
}

func (t *table) print(w io.Writer) error {
	for _, part := range []struct {
		head string
		rows [][]string
	}{
		{"the machine|MiB/s|CPU s/GiB", t.machines},
		{"catch-up|MiB/s durable|MiB/s visible|lines/s|of copy|of pipe|CPU s/GiB|agent|hub|receiver|peak MiB agent|hub|receiver", t.catches},
		{"steady, cores|agent|hub|receiver|bench itself|peak MiB agent|hub|receiver|ms to visible p50 / p99 / max|ms to durable p50 / p99 / max", t.steadies},
		{"idle files|s until durable|idle: agent cores|all cores|agent MiB|20 busy: agent cores|agent peak MiB|ms to visible p50 / p99 / max", t.idles},
		{"3 receivers|partitions moved|ms until archived elsewhere, or longest pause: p50 / max|ms until durable: p50 / max", t.moves},
		{"3 hub nodes|times a host|ms without a batch stored: p50 / max|ms without growth in the archive: p50 / max", t.losses},
	} {
		if len(part.rows) == 0 {
			continue
		}
		if err := printGrid(w, strings.Split(part.head, "|"), part.rows); err != nil {
			return err
		}
	}
	return nil
}

// printGrid prints a Markdown table with columns of even width, the first to the left and the others to the right.
func printGrid(w io.Writer, head []string, rows [][]string) error {
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	printRow(&b, head, widths)
	for i, width := range widths {
		end := ":"
		if i == 0 {
			end = "-"
		}
		b.WriteString("|-" + strings.Repeat("-", width) + end)
	}
	b.WriteString("|\n")
	for _, row := range rows {
		printRow(&b, row, widths)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func printRow(b *strings.Builder, row []string, widths []int) {
	for i, cell := range row {
		width := widths[i]
		if i == 0 {
			width = -width
		}
		fmt.Fprintf(b, "| %*s ", width, cell)
	}
	b.WriteString("|\n")
}

func rate(bytes int64, took time.Duration) float64 {
	return float64(bytes) / (1 << 20) / took.Seconds()
}

func perGiB(cpu time.Duration, bytes int64) float64 {
	return cpu.Seconds() * (1 << 30) / float64(bytes)
}

func core(cpu, span time.Duration) string { return fmt.Sprintf("%.4f", cpu.Seconds()/span.Seconds()) }

func mib(bytes int64) string { return fmt.Sprintf("%.0f", float64(bytes)/(1<<20)) }
