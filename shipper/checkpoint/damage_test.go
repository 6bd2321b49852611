package checkpoint_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

const page = 4096

// filled is the file of a store that was written many times, so that it has free pages, and everything that was ever in it.
func filled(t testing.TB) (data []byte, saved map[string]bool) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir, "web1")
	saved = map[string]bool{}
	for round := range 5 {
		var changed []tail.Generation
		for i := range 60 {
			g := generation(fmt.Sprintf("/var/log/app/%03d.log", i), uint64(1+round%2), int64(1000*round+i))
			saved[fmt.Sprint(g)] = true
			changed = append(changed, g)
		}
		if err := s.Save(chain, changed); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	data, err := os.ReadFile(filepath.Join(dir, checkpoint.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return data, saved
}

// TestDamage opens the store after damage of every kind. It must never end the process, and what it gives must have been saved at some time: an older
// checkpoint does no harm, but an invented length could declare bytes missing that were never there.
func TestDamage(t *testing.T) {
	whole, saved := filled(t)
	tests := []struct {
		name   string
		rounds int
		harm   func(*rand.Rand, []byte) []byte
	}{
		{"cut", 60, func(r *rand.Rand, p []byte) []byte { return p[:r.IntN(len(p))] }},
		{"cut at a page", len(whole) / page, func(r *rand.Rand, p []byte) []byte { return p[:page*r.IntN(len(p)/page)] }},
		{"random bytes", 20, func(r *rand.Rand, p []byte) []byte { return randomBytes(r, len(p)) }},
		{"text", 1, func(*rand.Rand, []byte) []byte { return bytes.Repeat([]byte("this is no checkpoint\n"), 1000) }},
		{"zeroed pages", 60, func(r *rand.Rand, p []byte) []byte { clear(anyPage(r, p)); return p }},
		{"overwritten pages", 60, func(r *rand.Rand, p []byte) []byte {
			at := anyPage(r, p)
			copy(at, randomBytes(r, len(at)))
			return p
		}},
		{"swapped pages", 60, func(r *rand.Rand, p []byte) []byte { copy(anyPage(r, p), bytes.Clone(anyPage(r, p))); return p }},
		{"flipped bit", 300, func(r *rand.Rand, p []byte) []byte { flip(r, p); return p }},
		{"flipped bit of a page's head", 300, func(r *rand.Rand, p []byte) []byte { flip(r, anyPage(r, p)[:64]); return p }},
		{"flipped bits", 100, func(r *rand.Rand, p []byte) []byte {
			for range 1 + r.IntN(200) {
				flip(r, p)
			}
			return p
		}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			if testing.Short() {
				tt.rounds = (tt.rounds + 9) / 10
			}
			for round := range tt.rounds {
				reopen(t, fmt.Sprintf("round %d", round), tt.harm(r, bytes.Clone(whole)), saved)
			}
		})
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func anyPage(r *rand.Rand, p []byte) []byte {
	at := page * r.IntN(len(p)/page)
	return p[at : at+page]
}

func flip(r *rand.Rand, p []byte) { p[r.IntN(len(p))] ^= 1 << r.IntN(8) }

// reopen opens damaged data twice, saving in between.
func reopen(t *testing.T, name string, data []byte, saved map[string]bool) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, checkpoint.FileName)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var log bytes.Buffer
		s, err := checkpoint.Open(dir, "web1", slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			if plausible(err) {
				return
			}
			t.Fatalf("%s: %v", name, err)
		}
		_, got := load(t, s)
		for _, g := range got {
			if !saved[fmt.Sprint(g)] {
				t.Fatalf("%s: loaded %+v, which was never saved", name, g)
			}
		}
		aside, err := filepath.Glob(path + ".damaged-*")
		if err != nil {
			t.Fatal(err)
		}
		if moved := len(aside) > 0; moved != strings.Contains(log.String(), "checkpoint is damaged") && log.Len() > 0 {
			t.Errorf("%s: moved %v, said %q", name, aside, log.String())
		}
		if err := s.Save(chain, []tail.Generation{generation("/var/log/app/000.log", 1, 4000)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		closeStore(t, s)
	}
}

// plausible says that the damage hit just the words by which a store is refused.
func plausible(err error) bool {
	return strings.Contains(err.Error(), "belongs to another host") || strings.Contains(err.Error(), "another version")
}

// FuzzEntry: what is no entry is an error, never a panic, and an entry comes back as it was.
func FuzzEntry(f *testing.F) {
	k, v, err := checkpoint.Encode(generation("/var/log/a b\n\xff", 3, 100))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k, v)
	f.Add([]byte("/a\x00\x00\x00\x00\x00\x00\x00\x00\x01"), []byte(`{}`))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		g, err := checkpoint.Decode(k, v)
		if err != nil {
			return
		}
		k2, v2, err := checkpoint.Encode(g)
		if err != nil {
			t.Fatal(err)
		}
		again, err := checkpoint.Decode(k2, v2)
		if err != nil || !bytes.Equal(k, k2) || !reflect.DeepEqual(g, again) {
			t.Fatalf("%+v came back as %+v, %v", g, again, err)
		}
	})
}
