package receiver_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver"
)

// What is read may be the list of a leader that was frozen. Only a write that was taken says that it was the last; so there is one, although the list says already what is wanted.
func TestDrainIsWrittenWhateverWasRead(t *testing.T) {
	js, err := jetstream.New(clustertest.Start(t, clustertest.Config()).Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), wire.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	var before uint64
	for _, test := range []struct {
		drained bool
		want    string
	}{{false, "[]"}, {false, "[]"}, {true, `["a"]`}, {true, `["a"]`}, {false, "[]"}} {
		if err := receiver.Drain(t.Context(), js, "a", test.drained); err != nil {
			t.Fatal(err)
		}
		entry, err := bucket.Get(t.Context(), wire.DrainsKey)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(entry.Value()); got != test.want || entry.Revision() <= before {
			t.Errorf("drained %t: the list is %s at revision %d after %d, want %s", test.drained, got, entry.Revision(), before, test.want)
		}
		before = entry.Revision()
	}
}
