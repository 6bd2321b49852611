package tail

import "testing"

func TestSiblingNames(t *testing.T) {
	for _, tt := range []struct{ name, base string }{
		{"access.log.1", "access.log"},
		{"access.log.12.gz", "access.log"},
		{"access.log-20260101", "access.log"},
		{"access.log-20260101.gz", "access.log"},
		{"access.log-20260101-120000", "access.log"},
		{"access.log.2026-01-01_12", "access.log"},
		{"access-20260101.log", "access.log"},
		{"app-2026-01-01T10-20-30.456.log.gz", "app.log"},
		{"0.log.20260101-120000.gz", "0.log"},
		{"access.log-1767225600", "access.log"},
		{"access.log.old", "access.log"},
		{"access.log.zst", "access.log"},
	} {
		if !isSibling(tt.name, tt.base) {
			t.Errorf("%s is not taken for a rotated %s", tt.name, tt.base)
		}
	}
	for _, tt := range []struct{ name, base string }{
		{"access.log", "access.log"},
		{"access.log2", "access.log"},
		{"access_ssl.log", "access.log"},
		{"worker.1.log", "worker.log"},
		{"access.log.swp", "access.log"},
		{"12345678.log", ".log"},
		{".1", ""},
		{".gz", ""},
	} {
		if isSibling(tt.name, tt.base) {
			t.Errorf("%s is taken for a rotated %s", tt.name, tt.base)
		}
	}
}

func FuzzSiblingOf(f *testing.F) {
	f.Add("access.log-20260101.1.gz")
	f.Add("-20260101.")
	f.Fuzz(func(t *testing.T, name string) {
		for shorter, ok := siblingOf(name); ok; shorter, ok = siblingOf(name) {
			if len(shorter) >= len(name) || shorter == "" {
				t.Fatalf("%q of %q", shorter, name)
			}
			name = shorter
		}
	})
}
