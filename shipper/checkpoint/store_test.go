package checkpoint_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logdrive/logdrive/shipper/checkpoint"
	"github.com/logdrive/logdrive/shipper/tail"
)

func open(t testing.TB, dir, host string) *checkpoint.Store {
	t.Helper()
	s, err := checkpoint.Open(dir, host, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func load(t testing.TB, s *checkpoint.Store) (checkpoint.Chain, []tail.Generation) {
	t.Helper()
	chain, known, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return chain, known
}

func closeStore(t testing.TB, s *checkpoint.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

var chain = checkpoint.Chain{Stream: "LOGS-H-1-0", Created: time.Unix(1700000000, 5).UTC(), Sequence: 17}

func generation(source string, number uint64, offset int64) tail.Generation {
	return tail.Generation{
		Source: source, Number: number, Offset: offset, Length: -1, Seen: offset + 5, Path: source + ".1",
		Identity: tail.Identity{Device: 1, Inode: 2, Birth: 3, HeadLen: 4, Head: 5}, Check: tail.Check{Len: 6, Sum: 1<<63 + 7},
	}
}

func TestLoadGivesWhatSaveLeft(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "web1")
	want := []tail.Generation{generation("/a", 1, 10), generation("/a", 256, 20), generation("/a b\n\xff", 1, 30)}
	for _, g := range want {
		if err := s.Save(chain, []tail.Generation{g}); err != nil {
			t.Fatal(err)
		}
	}
	writer := s.Writer()
	closeStore(t, s)
	s = open(t, dir, "web1")
	defer s.Close()
	gotChain, got := load(t, s)
	if gotChain != chain || !reflect.DeepEqual(got, want) {
		t.Errorf("loaded %+v %+v, want %+v %+v", gotChain, got, chain, want)
	}
	if s.Writer() != writer || writer == "" {
		t.Errorf("writer is %q after %q", s.Writer(), writer)
	}
}

func TestSaveReplaces(t *testing.T) {
	s := open(t, t.TempDir(), "web1")
	defer s.Close()
	want := generation("/a", 1, 99)
	for _, g := range []tail.Generation{generation("/a", 1, 10), want} {
		if err := s.Save(chain, []tail.Generation{g}); err != nil {
			t.Fatal(err)
		}
	}
	if _, got := load(t, s); !reflect.DeepEqual(got, []tail.Generation{want}) {
		t.Errorf("loaded %+v, want %+v", got, want)
	}
}

// What is known of a source has its bound, whatever the tailer says.
func TestOldestGenerationsGiveWay(t *testing.T) {
	s := open(t, t.TempDir(), "web1")
	defer s.Close()
	var all []tail.Generation
	for n := range uint64(checkpoint.Keep + 9) {
		all = append(all, generation("/a", n+1, 10))
	}
	if err := s.Save(chain, all); err != nil {
		t.Fatal(err)
	}
	if _, got := load(t, s); len(got) != checkpoint.Keep || got[0].Number != 10 {
		t.Errorf("%d are kept, from %d on", len(got), got[0].Number)
	}
	if err := s.Save(chain, nil, tail.Finished{Source: "/a", Generation: checkpoint.Keep}); err != nil {
		t.Fatal(err)
	}
	if _, got := load(t, s); len(got) != 9 {
		t.Errorf("%d are kept, want those that are not finished", len(got))
	}
}

func TestAnEmptyStoreKnowsNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "made", "here"), "web1")
	defer s.Close()
	if c, known := load(t, s); c != (checkpoint.Chain{}) || len(known) != 0 {
		t.Errorf("loaded %+v %+v", c, known)
	}
}

func TestEachStateDirectoryIsAnotherWriter(t *testing.T) {
	a, b := open(t, t.TempDir(), "web1"), open(t, t.TempDir(), "web1")
	defer a.Close()
	defer b.Close()
	if a.Writer() == b.Writer() {
		t.Errorf("both are %s", a.Writer())
	}
}

func TestOfAnotherHost(t *testing.T) {
	dir := t.TempDir()
	closeStore(t, open(t, dir, "web1"))
	_, err := checkpoint.Open(dir, "web2", slog.New(slog.DiscardHandler))
	if !errors.Is(err, checkpoint.ErrOtherHost) || !strings.Contains(err.Error(), `it is of "web1", this agent is "web2"`) {
		t.Errorf("error is %v", err)
	}
	closeStore(t, open(t, dir, "web1")) // and it was neither changed nor left locked
}

func TestOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	closeStore(t, open(t, dir, "web1"))
	put(t, dir, "version", "999")
	_, err := checkpoint.Open(dir, "web1", slog.New(slog.DiscardHandler))
	if !errors.Is(err, checkpoint.ErrVersion) || !strings.Contains(err.Error(), "layout 999") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, checkpoint.FileName)); err != nil {
		t.Errorf("it was moved away: %v", err)
	}
}

// put changes what the store says of itself.
func put(t testing.TB, dir, key, value string) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, checkpoint.FileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte(key), []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "web1")
	defer s.Close()
	if _, err := checkpoint.Open(dir, "web1", slog.New(slog.DiscardHandler)); !errors.Is(err, checkpoint.ErrInUse) {
		t.Errorf("error is %v", err)
	}
}

func TestStateThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Open(path, "web1", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v", err)
	}
}
