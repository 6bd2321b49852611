package archive_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/receiver/archive"
	"go.etcd.io/bbolt"
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
	n := rounds(300, 40)
	refused := uint64(0)
	for i := range n {
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
	if refused < n/4 {
		t.Errorf("%d of %d damaged indexes were refused", refused, n)
	}
}

// fullSite holds values in every bucket, files in several states, and what a wrong index would cut or remove.
func fullSite(t *testing.T) *site {
	s := newSite(t)
	for i := range 40 {
		source := fmt.Sprintf("/var/log/%03d.log", i)
		s.send("web1", chunk(source, 1, 0), "first\n", missing(source, 1, 6, 9), chunk(source, 1, 9), "more\n")
		s.send("web2", chunk(source, 1, 0), "other\n", chunk(source, 2, 0), "next\n")
		if i%10 == 9 {
			s.commit()
		}
	}
	s.shut()
	return s
}

// tree is every file below the directory, with its content.
func (s *site) tree(dir string) map[string]string {
	s.Helper()
	files := map[string]string{}
	s.must(filepath.WalkDir(filepath.Join(s.cfg.Dir, dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	}))
	return files
}

// flipIn changes one bit of one key or value, by way of bbolt: the structure of the index stays whole.
func flipIn(t *testing.T, path string, r *rand.Rand) (what string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		type entry struct{ bucket, key, value []byte }
		var entries []entry
		err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				entries = append(entries, entry{name, bytes.Clone(k), bytes.Clone(v)})
				return nil
			})
		})
		if err != nil {
			return err
		}
		e := entries[r.IntN(len(entries))]
		b := tx.Bucket(e.bucket)
		if err := b.Delete(e.key); err != nil {
			return err
		}
		at := r.IntN(8 * (len(e.key) + len(e.value)))
		what = fmt.Sprintf("bit %d of %q %q", at, e.bucket, e.key)
		both := append(bytes.Clone(e.key), e.value...)
		both[at/8] ^= 1 << (at % 8)
		return b.Put(both[:len(e.key)], both[len(e.key):])
	})
	if err != nil {
		t.Fatal(err)
	}
	return what
}

// TestFlippedBitInAKeyOrValueIsRefused: files are cut to the lengths of the index and removed when it does not name them, so no bit of it may be believed unchecked.
func TestFlippedBitInAKeyOrValueIsRefused(t *testing.T) {
	s := fullSite(t)
	path := filepath.Join(s.cfg.Dir, "index.db")
	whole, err := os.ReadFile(path)
	s.must(err)
	before := s.tree("hosts")
	for seed := range rounds(1000, 150) {
		s.must(os.WriteFile(path, whole, 0o600))
		what := flipIn(t, path, rand.New(rand.NewPCG(seed, 12)))
		a, err := archive.Open(s.cfg)
		if err == nil {
			s.must(a.Close())
			t.Errorf("seed %d: %s was believed", seed, what)
		} else if !strings.Contains(err.Error(), "move the archive directory aside") {
			t.Errorf("seed %d: %s: the error does not say what to do: %v", seed, what, err)
		}
		if !maps.Equal(before, s.tree("hosts")) {
			t.Fatalf("seed %d: %s: files of hosts/ were changed", seed, what)
		}
	}
}

// TestFlippedBitsOfTheIndexCostNoFile flips bits anywhere behind the two first pages, where bits that nobody reads may go unseen.
func TestFlippedBitsOfTheIndexCostNoFile(t *testing.T) {
	s := fullSite(t)
	path := filepath.Join(s.cfg.Dir, "index.db")
	whole, err := os.ReadFile(path)
	s.must(err)
	before := s.tree("hosts")
	for seed := range rounds(1000, 100) {
		r := rand.New(rand.NewPCG(seed, 13))
		data := bytes.Clone(whole)
		behind := data[2*os.Getpagesize():]
		for range 1 + r.IntN(50) {
			behind[r.IntN(len(behind))] ^= 1 << r.IntN(8)
		}
		s.must(os.WriteFile(path, data, 0o600))
		if a, err := archive.Open(s.cfg); err == nil {
			s.must(a.Close())
		}
		if !maps.Equal(before, s.tree("hosts")) {
			t.Fatalf("seed %d: files of hosts/ were changed", seed)
		}
	}
}

func rounds(all, short uint64) uint64 {
	if testing.Short() {
		return short
	}
	return all
}
