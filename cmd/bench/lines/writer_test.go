package lines_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/logdrive/logdrive/cmd/bench/lines"
)

func TestRotationsKeepEveryLineInOrder(t *testing.T) {
	for _, how := range []lines.Rotation{lines.Rename, lines.CopyTruncate} {
		path := filepath.Join(t.TempDir(), "access.log")
		w, err := lines.OpenWriter(path, maker(t, "web1:a", lines.Combined))
		if err != nil {
			t.Fatal(err)
		}
		const rotations = 12 // NAME.10 must come before NAME.9
		for range rotations {
			must(t, w.Block(5000))
			must(t, w.Line())
			must(t, w.Rotate(how))
		}
		must(t, w.Line())
		must(t, w.Close())

		var all []byte
		for n := rotations; n >= 0; n-- {
			name := path + "." + strconv.Itoa(n)
			if n == 0 {
				name = path
			}
			data, err := os.ReadFile(name)
			must(t, err)
			all = append(all, data...)
		}
		var c lines.Checker
		c.Expect(w.Origin(), w.Lines())
		must(t, c.Read(path, bytes.NewReader(all)))
		if r := c.Report(); !r.Clean() || r.Bytes != w.Bytes() {
			t.Errorf("rotation %d: %s; written %d bytes", how, r, w.Bytes())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
