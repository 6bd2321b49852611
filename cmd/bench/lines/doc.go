// Package lines makes numbered log lines and tells what became of them.
//
// A line starts as a [Maker]'s (maker.go): realistic text in combined or JSON format (format.go, words.go), ending in
// a mark "host:source#number@nanoseconds~sum". A [Writer] (writer.go) appends it to a file and rotates that file as
// logrotate would. Whatever carried the file elsewhere, [Parse] (parse.go) reads the mark back and a [Checker]
// (checker.go, seen.go) counts in its [Report] (report.go) what was lost, doubled, torn, reordered or misplaced.
//
// The sum covers the whole line before it, so a line that was cut, joined with another or changed does not parse; it
// is never taken for a whole one, but for a chance of one in four thousand million. The number says the place among the
// lines of its origin (host and source), from 0 on without holes. What the mark cannot prove is a byte between lines:
// an empty line added is torn, but for equality of bytes compare the files themselves.
//
// A Maker, a Writer and a Checker belong to one goroutine each.
//
//	m, err := lines.NewMaker(lines.Config{Origin: "web1:access", Format: lines.Combined, Seed: 1})
//	text := m.Append(nil, time.Now())
//
//	var c lines.Checker
//	err = c.Read("/var/log/access.log", file)
//	fmt.Println(c.Report())
package lines
