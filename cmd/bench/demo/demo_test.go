package demo

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFindLogsTakesTextThatWasNotRotated(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.log": "aaa\n", "sub/b.log": "bb\n", "a.log.1": "old\n", "empty.log": "", "wtmp": "x\x00y", "c.log.gz": "gz",
	} {
		put(t, filepath.Join(dir, name), text)
	}
	got := findLogs([]string{dir, filepath.Join(dir, "absent")})
	if want := []string{filepath.Join(dir, "a.log"), filepath.Join(dir, "sub/b.log")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestJudgeSeesEveryDifference(t *testing.T) {
	archive, logs := t.TempDir(), t.TempDir()
	var paths []string
	for _, c := range []struct{ name, source, archived string }{
		{"equal", "abc", "abc"},
		{"short", "abc", "ab"},
		{"long", "abc", "abcd"},
		{"other", "abc", "abx"},
		{"absent", "abc", ""},
	} {
		path := filepath.Join(logs, c.name)
		put(t, path, c.source)
		if c.archived != "" {
			put(t, filepath.Join(archive, "hosts", host, path), c.archived)
		}
		paths = append(paths, path)
	}
	all, err := judge(archive, paths, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if faults(all) != 4 || all[0].fault != "" {
		t.Errorf("got %+v", all)
	}
	grown, err := judge(archive, paths, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if faults(grown) != 3 || grown[1].later != 1 {
		t.Errorf("a source that has grown since: got %+v", grown)
	}
}

func TestViewCountsWhatArrives(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, "hosts", "h", "var", "a.log")
	put(t, active, "one\ntw")
	var out bytes.Buffer
	v := newView(&out, dir)
	for _, text := range []string{"one\ntw", "one\ntwo\nthree \x1b[31m\n", "one\ntwo\nthree \x1b[31m\nrest"} {
		put(t, active, text)
		v.printed = time.Time{}
		if err := v.look(); err != nil {
			t.Fatal(err)
		}
	}
	a := v.arrivals["h:/var/a.log"]
	if a == nil || a.lines != 3 || a.bytes != int64(len("one\ntwo\nthree \x1b[31m\nrest")) || string(a.last) != "three \x1b[31m" {
		t.Fatalf("got %+v", a)
	}
	if s := out.String(); !strings.Contains(s, "1 sources, 3 lines") || strings.Contains(s, "\x1b") {
		t.Errorf("printed %q", s)
	}
	v.width = 80
	for _, row := range v.rows() {
		if n := len([]rune(row)); n > 100 { // 80 and the codes for bold and dim
			t.Errorf("%d wide: %q", n, row)
		}
	}
}

func TestGrowerNumbersItsLinesThroughRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growing.log")
	g, err := newGrower(host, path)
	if err != nil {
		t.Fatal(err)
	}
	go g.run()
	for range 2 {
		if err := g.rotateNow(); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.finish(); err != nil {
		t.Fatal(err)
	}
	if err := g.finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".2"); err != nil {
		t.Error(err)
	}
}
