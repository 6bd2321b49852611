package archive_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/receiver/archive"
)

// TestDamagedIndexIsRefused opens indexes with damage of many kinds: each is refused with a remedy or can be used, none ends the process.
func TestDamagedIndexIsRefused(t *testing.T) {
	s := newSite(t)
	for i := range 200 {
		s.send("web1", chunk(fmt.Sprintf("/var/log/%03d.log", i), 1, 0), "line\n")
	}
	s.commit()
	s.shut()
	whole, err := os.ReadFile(filepath.Join(s.cfg.Dir, "index.db"))
	s.must(err)
	r := rand.New(rand.NewPCG(1, 2))
	rounds := 300
	if testing.Short() {
		rounds = 40
	}
	refused := 0
	for i := range rounds {
		data := bytes.Clone(whole)
		page := data[4096*r.IntN(len(data)/4096):][:4096]
		switch i % 5 {
		case 0:
			data = data[:r.IntN(len(data))]
		case 1:
			clear(page)
		case 2:
			page[r.IntN(64)] ^= 1 << r.IntN(8)
		case 3:
			page[r.IntN(4096)] ^= 1 << r.IntN(8)
		case 4:
			copy(page, data[4096*r.IntN(len(data)/4096):][:4096])
		}
		dir := t.TempDir()
		s.must(os.WriteFile(filepath.Join(dir, "index.db"), data, 0o600))
		cfg := s.cfg
		cfg.Dir = dir
		a, err := archive.Open(cfg)
		if err == nil {
			s.must(a.Close())
			continue
		}
		refused++
		if !strings.Contains(err.Error(), "index") {
			t.Errorf("round %d: the error does not say what is wrong: %v", i, err)
		}
	}
	if refused < rounds/4 {
		t.Errorf("%d of %d damaged indexes were refused", refused, rounds)
	}
}
