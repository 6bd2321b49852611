package archive_test

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/receiver/archive"
)

// strange are sources that come from the network and must each get a path of their own inside the host's directory.
var strange = []string{
	"/var/log/syslog", "var/log/syslog", "/", "", "//", "/a//b", "/a/b/", "/a/b", "/a", "a", "/.", "/..", "/../../etc/passwd", "../x", "/a/./b", "/a/../b",
	"/a b", "/a\nb", "/a\x00b", "/a\x7f", "/\xff\xfe", "/é", "/e\u0301", "/\u202e", "/a%2Fb", "/%", "/%-", "/%.", "/%@", "/%=", "/a%@", `/a\b`, "/A", "/LOG",
	"/x", "/x\x00000001-000000000000000000", "/x\x00000001-000000000000000000.gz", "/x%00000001-000000000000000000",
	"/" + strings.Repeat("n", 300), "/" + strings.Repeat("n", 301), "/" + strings.Repeat("\n", 100), "/" + strings.Repeat("é", 150),
	strings.Repeat("/d", 3000), strings.Repeat("/d", 3000) + "/e",
}

func TestSourcePathsAreUniqueAndStayInside(t *testing.T) {
	for _, fold := range []bool{false, true} {
		seen := map[string]string{}
		for _, source := range strange {
			encoded := archive.EncodeSource(source, fold)
			checkPath(t, source, encoded, fold)
			if other, taken := seen[encoded]; taken {
				t.Errorf("%q and %q are both %q", source, other, encoded)
			}
			seen[encoded] = source
		}
	}
	if got := archive.EncodeSource("/var/log/nginx/access.log", false); got != "var/log/nginx/access.log" {
		t.Errorf("a usual path became %q", got)
	}
}

// checkPath wants a path that any file system takes, leads nowhere else, is no segment's name, and can be read back unless it was too long.
func checkPath(t *testing.T, source, encoded string, fold bool) {
	t.Helper()
	if !filepath.IsLocal(encoded) || path.Clean(encoded) != encoded || len(encoded) > 4096 || strings.ContainsRune(encoded, 0) {
		t.Fatalf("%.100q became %.100q", source, encoded)
	}
	for component := range strings.SplitSeq(encoded, "/") {
		if rotated := archive.RotatedName(component, 1<<63, 1<<62) + ".zst%+"; len(rotated) > 255 {
			t.Fatalf("component of %.100q has no room for a suffix: %d bytes", source, len(component))
		}
		if _, _, _, rotated := archive.ParseRotated(component); rotated {
			t.Fatalf("%.100q looks like a segment: %.100q", source, encoded)
		}
	}
	if fold && strings.ToLower(encoded) != encoded && !strings.Contains(strings.ToLower(encoded), "%") {
		t.Fatalf("%.100q has upper case letters: %.100q", source, encoded)
	}
	if got, err := archive.DecodeSource(encoded); err == nil && got != source {
		t.Fatalf("%.100q became %.100q and that %.100q", source, encoded, got)
	} else if err != nil && !strings.Contains(encoded, "%~") {
		t.Fatalf("%.100q became %.100q, which cannot be read: %v", source, encoded, err)
	}
}

func FuzzSourcePath(f *testing.F) {
	for _, source := range strange {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		for _, fold := range []bool{false, true} {
			checkPath(t, source, archive.EncodeSource(source, fold), fold)
		}
	})
}

func FuzzRotatedName(f *testing.F) {
	f.Add("/x", uint64(1), int64(0))
	f.Add("/x\x00000001-000000000000000000", uint64(1<<63), int64(1<<62))
	f.Fuzz(func(t *testing.T, source string, generation uint64, start int64) {
		if start < 0 {
			t.Skip()
		}
		name := archive.EncodeSource(source, false)
		for _, suffix := range []string{"", ".gz", ".zst"} {
			rotated := archive.RotatedName(name, generation, start) + suffix
			gotName, gotGeneration, gotStart, ok := archive.ParseRotated(rotated)
			if !ok || gotName != name || gotGeneration != generation || gotStart != start {
				t.Fatalf("%q became %q, %d, %d, %v", rotated, gotName, gotGeneration, gotStart, ok)
			}
		}
	})
}

func TestStrangeSourcesAreArchived(t *testing.T) {
	s := newSite(t)
	for i, source := range strange {
		s.send(web1, chunk(source, 1, 0), fmt.Sprintf("text of %d\n", i))
		s.send(web1, chunk(source, 2, 0), "next\n")
	}
	s.commit()
	s.reopen()
	for i, source := range strange {
		s.send(web1, chunk(source, 1, len(fmt.Sprintf("text of %d\n", i))), "late\n")
		if got, want := content(t, s.a.Reader, web1, source, 1), fmt.Sprintf("text of %d\n", i); got != want {
			t.Errorf("%.100q holds %q, want %q", source, got, want)
		}
	}
	s.commit()
	s.reopen()
	for i, source := range strange {
		if got, want := content(t, s.a.Reader, web1, source, 1), fmt.Sprintf("text of %d\nlate\n", i); got != want {
			t.Errorf("%.100q holds %q, want %q", source, got, want)
		}
	}
	s.ledger()
}
