package demo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/logdrive/logdrive/cmd/bench/sources"
)

const (
	rowsShown  = 8   // sources on a terminal, the ones that changed last
	lineKept   = 512 // bytes of a line that are kept to be shown
	plainWidth = 100
)

// arrival is what is known of one source in the archive.
type arrival struct {
	name    string
	bytes   int64
	lines   int64
	last    []byte // line
	open    []byte // beginning of the line that has no end yet
	changed time.Time
}

// take counts what was read.
func (a *arrival) take(b []byte) {
	if len(b) == 0 {
		return
	}
	a.bytes += int64(len(b))
	a.lines += int64(bytes.Count(b, []byte("\n")))
	a.changed = time.Now()
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		a.open = append(a.open, line[:min(len(line), max(0, lineKept-len(a.open)))]...)
		if !whole {
			return
		}
		if len(a.open) > 0 {
			a.last = append(a.last[:0], a.open...)
		}
		a.open, b = a.open[:0], rest
	}
}

// view shows what stands in the archive: on a terminal a few rows that are drawn anew, elsewhere a line for each thing that happens.
type view struct {
	out      io.Writer
	archive  string
	width    int // of the terminal; 0: not one
	arrivals map[string]*arrival
	drawn    int // rows on the screen that may be drawn over
	printed  time.Time
}

func newView(out io.Writer, archive string) *view {
	v := &view{out: out, archive: archive, arrivals: map[string]*arrival{}}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		v.width, _, _ = term.GetSize(int(f.Fd())) // 0 on error: plain
	}
	return v
}

// say prints a line that stays.
func (v *view) say(format string, args ...any) {
	v.wipe()
	fmt.Fprintf(v.out, format+"\n", args...)
}

// look reads what is new in the archive and shows it.
func (v *view) look() error {
	all, err := sources.Archive(v.archive)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range all {
		a := v.arrivals[s.String()]
		if a == nil {
			a = &arrival{name: s.String()}
			v.arrivals[s.String()] = a
		}
		if err := countLines(s, a); err != nil {
			return err
		}
	}
	v.show()
	return nil
}

func (v *view) show() {
	if v.width == 0 {
		v.plain()
		return
	}
	v.wipe()
	rows := v.rows()
	for _, row := range rows {
		fmt.Fprintln(v.out, row)
	}
	v.drawn = len(rows)
}

// wipe takes back what show has drawn.
func (v *view) wipe() {
	if v.drawn > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", v.drawn)
		v.drawn = 0
	}
}

// plain prints the sum once a second.
func (v *view) plain() {
	if time.Since(v.printed) < time.Second {
		return
	}
	v.printed = time.Now()
	fmt.Fprintln(v.out, "  "+v.sum())
	if all := v.latest(); len(all) > 0 {
		fmt.Fprintln(v.out, "    "+clip(printable(all[0].last), plainWidth))
	}
}

func (v *view) sum() string {
	var bytes, count int64
	for _, a := range v.arrivals {
		bytes, count = bytes+a.bytes, count+a.lines
	}
	return fmt.Sprintf("archived: %d sources, %s lines, %s", len(v.arrivals), humanize.Comma(count), humanize.IBytes(uint64(bytes)))
}

// latest lists the sources that changed last.
func (v *view) latest() []*arrival {
	var all []*arrival
	for _, a := range v.arrivals {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *arrival) int {
		return cmp.Or(b.changed.Truncate(time.Second).Compare(a.changed.Truncate(time.Second)), cmp.Compare(a.name, b.name))
	})
	return all[:min(len(all), rowsShown)]
}

func (v *view) rows() []string {
	rows := []string{"\x1b[1m" + clip("  "+v.sum(), v.width-1) + "\x1b[0m"}
	for _, a := range v.latest() {
		head := fmt.Sprintf("  %-40s %10s %11s lines  ", shorten(a.name, 40), humanize.IBytes(uint64(a.bytes)), humanize.Comma(a.lines))
		rows = append(rows, head+"\x1b[2m"+clip(printable(a.last), v.width-1-len(head))+"\x1b[0m")
	}
	return rows
}

// printable makes a line of a log harmless to a terminal.
func printable(line []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, string(line))
}

func clip(s string, width int) string {
	runes := []rune(s)
	return string(runes[:min(len(runes), max(0, width))])
}

// shorten keeps the end of a name, which tells more than its beginning.
func shorten(s string, width int) string {
	if runes := []rune(printable([]byte(s))); len(runes) > width {
		return "…" + string(runes[len(runes)-width+1:])
	}
	return printable([]byte(s))
}
