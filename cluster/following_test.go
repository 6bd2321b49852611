package cluster_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// step is how many batches lie between the tables that long gives.
const step = 100

// long gives web1 a chain of so many batches, and what the table is after each step of them.
func (s *stand) long(t *testing.T, batches int) (tables []wire.Table) {
	t.Helper()
	var table wire.Table
	var last jetstream.PubAckFuture
	for n := range batches {
		msg := clustertest.Batch("web1", "w-a", uint64(n), fmt.Sprintf("/log/%d", n%50), int64(n/50)*3, []byte("ab\n"))
		b, err := wire.ParseBatch(msg.Header)
		if err != nil {
			t.Fatal(err)
		}
		msg.Subject = wire.PartSubject(1, 0, "web1")
		if last, err = s.js.PublishMsgAsync(msg, jetstream.WithExpectLastSequencePerSubject(table.Sequence)); err != nil {
			t.Fatal(err)
		}
		table.Apply(table.Sequence+1, &b)
		if n%step == step-1 {
			tables = append(tables, table.Clone())
		}
	}
	select {
	case ack := <-last.Ok():
		if ack.Sequence != uint64(batches) {
			t.Fatalf("the last of %d batches is stored as %d", batches, ack.Sequence)
		}
	case err := <-last.Err():
		t.Fatal(err)
	case <-time.After(4 * clustertest.Patience):
		t.Fatal("batches are not stored")
	}
	return tables
}

// ask says hello once; text is the hub's error.
func (s *stand) ask(t *testing.T) (w wire.Welcome, text string) {
	t.Helper()
	data, err := hello("a", 0).Encode()
	if err != nil {
		t.Fatal(err)
	}
	msg, err := s.agent.Request(wire.HelloSubject("web1"), data, clustertest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if text := msg.Header.Get("Nats-Service-Error"); text != "" {
		return w, text
	}
	if w, err = wire.DecodeWelcome(msg.Data); err != nil {
		t.Fatal(err)
	}
	return w, ""
}

// answered asks until there is an answer, which must be right, and counts the asks that ran out of time.
func (s *stand) answered(t *testing.T, want wire.Table, between func(tries int)) (tries int) {
	t.Helper()
	for end := time.Now().Add(4 * clustertest.Patience); time.Now().Before(end); tries++ {
		w, text := s.ask(t)
		if text == "" {
			if w.Head != want.Sequence || !reflect.DeepEqual(*w.Table, want) {
				t.Fatalf("after %d asks: head %d, table %+v; want %+v", tries, w.Head, w.Table, want)
			}
			return tries
		}
		if !strings.Contains(text, "deadline exceeded") && !strings.Contains(text, "reading this host's chain") {
			t.Fatalf("the hub answers %q", text)
		}
		between(tries)
	}
	t.Fatalf("no answer after %d asks", tries)
	return 0
}

// TestHelloGoesOnWhereTheLastOneRanOutOfTime: with a chain longer than one answer may take, hello would be asked for ever.
func TestHelloGoesOnWhereTheLastOneRanOutOfTime(t *testing.T) {
	cfg := clustertest.Config()
	cfg.Partitions, cfg.HelloTimeout = 1, 4*time.Millisecond
	s := standOn(t, cfg)
	const batches = 2000
	tables := s.long(t, batches)
	head := tables[len(tables)-1]
	tries := s.answered(t, head, func(int) {})
	if tries == 0 {
		t.Errorf("%d batches were read at once", batches)
	}
	t.Logf("answered after %d asks", tries)

	// What is kept is not believed once the chain has moved on without it.
	s.line(t, batches, &head)
	s.answered(t, head, func(int) {})
}

// TestHelloGoesOnAfterAPurge: tables move and purges run between the asks, before and behind what was read.
func TestHelloGoesOnAfterAPurge(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of batches")
	}
	cfg := clustertest.Config()
	cfg.Partitions, cfg.HelloTimeout = 1, 4*time.Millisecond
	s := standOn(t, cfg)
	tables := s.long(t, 3000)
	covered := 0
	s.answered(t, tables[len(tables)-1], func(tries int) {
		if covered += 3; covered < len(tables) {
			s.writeTable(t, "web1", tables[covered])
			s.purge(t, "web1", tables[covered].Sequence)
		}
	})
}

// TestHelloGoesOnBehindAHoleOfALongChain: a hole does not become a link because it was passed in an earlier ask, nor does it stop the reading.
func TestHelloGoesOnBehindAHoleOfALongChain(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of batches")
	}
	cfg := clustertest.Config()
	cfg.Partitions, cfg.HelloTimeout = 1, 4*time.Millisecond
	s := standOn(t, cfg)
	tables := s.long(t, 2000)
	if err := s.stream.DeleteMsg(context.Background(), 700); err != nil {
		t.Fatal(err)
	}
	s.answered(t, tables[len(tables)-1], func(int) {}) // 700 moved a position that later ones moved further
}
