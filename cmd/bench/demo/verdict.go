package demo

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/lines"
	"github.com/logdrive/logdrive/cmd/bench/sources"
)

// verdict is what came of one file.
type verdict struct {
	path  string
	bytes int64 // archived
	later int64 // bytes that were written to the source after logdrive had ended
	fault string
}

// judge compares every source with the archive. ended is when logdrive was told to end; zero while it runs.
func judge(dir string, paths []string, ended time.Time) ([]verdict, error) {
	archived, err := sources.Archive(dir)
	if err != nil {
		return nil, err
	}
	byPath := map[string]sources.Source{}
	for _, s := range archived {
		byPath[s.Path] = s
	}
	var all []verdict
	for _, path := range paths {
		v, err := judgeOne(path, byPath, ended)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func judgeOne(path string, byPath map[string]sources.Source, ended time.Time) (verdict, error) {
	v := verdict{path: path}
	got, ok := byPath[path]
	if !ok {
		v.fault = "is not in the archive"
		return v, nil
	}
	a, err := sources.OnDisk(path).Open()
	if err != nil {
		return v, err
	}
	defer a.Close()
	b, err := got.Open()
	if err != nil {
		return v, err
	}
	defer b.Close()
	d, err := sources.Compare(a, b)
	v.bytes = d.Got
	switch {
	case d.Equal:
	case d.At == d.Got && changedSince(path, ended):
		v.later = d.Want - d.Got
	default:
		v.fault = d.String()
	}
	return v, err
}

func changedSince(path string, ended time.Time) bool {
	info, err := os.Stat(path)
	return !ended.IsZero() && err == nil && info.ModTime().After(ended)
}

func faults(all []verdict) int {
	n := 0
	for _, v := range all {
		if v.fault != "" {
			n++
		}
	}
	return n
}

// checkNumbers reads the growing log in the archive and proves that every line is there once, whole and in order.
func checkNumbers(dir, path, origin string, count uint64) (lines.Report, error) {
	var c lines.Checker
	c.Expect(origin, count)
	archived, err := sources.Archive(dir)
	if err != nil {
		return lines.Report{}, err
	}
	for _, s := range archived {
		if s.Path != path {
			continue
		}
		r, err := s.Open()
		if err != nil {
			return lines.Report{}, err
		}
		defer r.Close()
		if err := c.Read(path, r); err != nil {
			return lines.Report{}, err
		}
	}
	return c.Report(), nil
}

// countLines reads on from where a count stood and keeps the last whole line.
func countLines(s sources.Source, a *arrival) error {
	r, err := s.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Skip(a.bytes); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		a.take(buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
	}
}
