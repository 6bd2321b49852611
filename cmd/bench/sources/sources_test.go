package sources_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/logdrive/logdrive/cmd/bench/sources"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	var b bytes.Buffer
	switch filepath.Ext(path) {
	case ".gz":
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
	case ".zst":
		z, _ := zstd.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
	default:
		b.WriteString(text)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s sources.Source) string {
	t.Helper()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestArchiveJoinsSegmentsInOrder(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "hosts", "web1", "var", "log")
	put(t, log+"/a.log", "7")
	put(t, log+"/a.log%00000001-000000000000000000.gz", "1")
	put(t, log+"/a.log%00000001-000000000000000001.zst", "2")
	put(t, log+"/a.log%00000002-000000000000000000", "3")
	put(t, log+"/a.log%00000002-000000000000000001", "4")
	put(t, log+"/a.log%00000002-000000000000000001.gz", "not yet")
	put(t, log+"/a.log%00000010-000000000000000000", "56")
	put(t, log+"/a%20b%25.log", "x")
	put(t, log+"/gone%00000001-000000000000000000", "y")
	put(t, log+"/gone%00000001-000000000000000000.gz%+", "half")
	put(t, log+"/gone%@/b", "b")
	put(t, filepath.Join(dir, "hosts", "web%2F2", "z"), "z")

	all, err := sources.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		got = append(got, s.String()+"="+read(t, s))
	}
	want := "web/2:/z=z web1:/var/log/a b%.log=x web1:/var/log/a.log=1234567 web1:/var/log/gone=y web1:/var/log/gone/b=b"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
}

func TestSkipPassesOverSegments(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, "hosts", "h", "a")
	put(t, active+"%00000001-000000000000000000", "012")
	put(t, active+"%00000002-000000000000000000.gz", "345")
	put(t, active, "678")
	all, err := sources.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(12) {
		r, err := all[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Skip(n); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(r)
		r.Close()
		if want := "012345678"[min(n, 9):]; err != nil || string(rest) != want {
			t.Errorf("after %d: %q %v, want %q", n, rest, err, want)
		}
	}
}

func TestOnDiskJoinsRotatedFilesInOrder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.log": "9", "a.log.1": "8", "a.log.2.gz": "7", "a.log.10": "6", "a.log.old": "no", "b.log": "no"} {
		put(t, filepath.Join(dir, name), text)
	}
	if got := read(t, sources.OnDisk(filepath.Join(dir, "a.log"))); got != "6789" {
		t.Errorf("got %q", got)
	}
	for name, text := range map[string]string{"d.log": "3", "d.log-20261102": "2", "d.log-20261101.gz": "1"} {
		put(t, filepath.Join(dir, name), text)
	}
	if got := read(t, sources.OnDisk(filepath.Join(dir, "d.log"))); got != "123" {
		t.Errorf("got %q", got)
	}
}

func TestFilesLeavesRotatedOnesToTheirSource(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.log", "a.log.1", "a.log.2.gz", "sub/b.log", "alone.1"} {
		put(t, filepath.Join(dir, name), name)
	}
	all, err := sources.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		got = append(got, strings.TrimPrefix(s.Path, dir+"/"))
	}
	if s := strings.Join(got, " "); s != "a.log alone.1 sub/b.log" {
		t.Errorf("got %s", s)
	}
}

// A receiver rotates and compresses while somebody reads: no byte may be seen twice or not at all.
func TestOpenOfALiveArchiveMissesNothing(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, "hosts", "h", "a")
	put(t, active, "0,")
	all, err := sources.Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	const rotations = 200
	var whole strings.Builder
	for n := range rotations + 1 {
		fmt.Fprintf(&whole, "%d,", n)
	}
	rotated := make(chan error, 1)
	go func() { rotated <- rotate(active, rotations) }()
	opened := 0
	for end := false; !end; {
		select {
		case err := <-rotated:
			if err != nil {
				t.Fatal(err)
			}
			end = true
		default:
		}
		r, err := all[0].Open()
		if err != nil {
			continue // the names never stood still; refusing is right
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil || !strings.HasPrefix(whole.String(), string(data)) || end && len(data) != whole.Len() {
			t.Fatalf("read %q %v", data, err)
		}
		opened++
	}
	if opened < 2 {
		t.Errorf("only the end was opened")
	}
}

// rotate moves the active file away some times, and compresses every segment but the newest as a janitor does.
func rotate(active string, times int) error {
	segment := func(n int) string { return fmt.Sprintf("%s%%00000001-%018d", active, n) }
	for n := range times {
		if err := os.Rename(active, segment(n)); err != nil {
			return err
		}
		if err := os.WriteFile(active, fmt.Appendf(nil, "%d,", n+1), 0o644); err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if err := compress(segment(n - 1)); err != nil {
			return err
		}
	}
	return nil
}

func compress(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(text)
	z.Close()
	if err := os.WriteFile(path+".gz%+", b.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".gz%+", path+".gz"); err != nil {
		return err
	}
	return os.Remove(path)
}

func TestCompareNamesTheFirstDifference(t *testing.T) {
	long := strings.Repeat("x", 600<<10)
	for _, tc := range []struct {
		want, got string
		d         sources.Difference
	}{
		{"", "", sources.Difference{Equal: true}},
		{"abc", "abc", sources.Difference{Equal: true, At: 3, Want: 3, Got: 3}},
		{"abc", "abd", sources.Difference{At: 2, Want: 3, Got: 3}},
		{"abc", "ab", sources.Difference{At: 2, Want: 3, Got: 2}},
		{"ab", "abc", sources.Difference{At: 2, Want: 2, Got: 3}},
		{"", "c", sources.Difference{At: 0, Want: 0, Got: 1}},
		{long, long, sources.Difference{Equal: true, At: 600 << 10, Want: 600 << 10, Got: 600 << 10}},
		{long + "ab", long + "b", sources.Difference{At: 600 << 10, Want: 600<<10 + 2, Got: 600<<10 + 1}},
	} {
		d, err := sources.Compare(strings.NewReader(tc.want), strings.NewReader(tc.got))
		if err != nil || d != tc.d {
			t.Errorf("%.5q %.5q: got %+v %v, want %+v", tc.want, tc.got, d, err, tc.d)
		}
	}
}
