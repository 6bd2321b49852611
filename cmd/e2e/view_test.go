package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/receiver/handover"
)

// view looks at a running hub from the account of the streams.
type view struct {
	t      testing.TB
	ctx    context.Context
	nc     *nats.Conn
	js     jetstream.JetStream
	bucket jetstream.KeyValue
	layout wire.Layout
}

// view connects to the hub itself, past the proxy.
func (s *site) view() *view {
	s.t.Helper()
	secret, err := os.ReadFile(s.secret)
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background()) // without a deadline each request has the client's
	v := &view{t: s.t, ctx: ctx}
	s.t.Cleanup(cancel)
	until(s.t, "the hub lets us look", func() bool {
		v.nc, err = cluster.Connect(s.clientURLs(), strings.TrimSpace(string(secret)))
		return err == nil && v.nc.IsConnected()
	})
	s.t.Cleanup(v.nc.Close)
	v.js, err = jetstream.New(v.nc)
	must(s.t, err)
	v.retry(func() (err error) {
		v.bucket, err = v.js.KeyValue(ctx, wire.Bucket)
		return err
	})
	if !v.get(wire.LayoutKey, &v.layout) {
		s.t.Fatal("the hub has no layout")
	}
	return v
}

// retry asks again while nobody answers: a leader may be about to be elected.
func (v *view) retry(ask func() error) {
	v.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var api *jetstream.APIError
		err = ask()
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrNoResponders) && (!errors.As(err, &api) || api.Code != 503) {
			break
		}
	}
	must(v.t, err)
}

// entry is what stands under a key of the bucket; nil: nothing.
func (v *view) entry(key string) (entry jetstream.KeyValueEntry) {
	v.t.Helper()
	v.retry(func() (err error) {
		entry, err = v.bucket.Get(v.ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			entry, err = nil, nil
		}
		return err
	})
	return entry
}

// get reads a key of the bucket, and reports whether it is there.
func (v *view) get(key string, into any) bool {
	v.t.Helper()
	entry := v.entry(key)
	if entry != nil {
		must(v.t, json.Unmarshal(entry.Value(), into))
	}
	return entry != nil
}

func (v *view) record(partition int) handover.Record {
	v.t.Helper()
	var r handover.Record
	v.get(wire.RecordKey(v.layout.Number, partition), &r)
	return r
}

func (v *view) table(stream, host string) wire.Table {
	v.t.Helper()
	entry := v.entry(wire.TableKey(stream, host))
	if entry == nil {
		return wire.Table{}
	}
	table, err := wire.DecodeTable(entry.Value())
	must(v.t, err)
	return table
}

func (v *view) stream(partition int) (stream jetstream.Stream, info *jetstream.StreamInfo) {
	v.t.Helper()
	v.retry(func() (err error) {
		if stream, err = v.js.Stream(v.ctx, v.layout.Stream(partition)); err == nil {
			info, err = stream.Info(v.ctx, jetstream.WithSubjectFilter(">"))
		}
		return err
	})
	return stream, info
}

// partition of the site's host.
func (v *view) partition() int { return wire.Partition(host, v.layout.Partitions) }

// head is the sequence of the host's last batch; 0: none.
func (v *view) head() uint64 {
	v.t.Helper()
	stream, _ := v.stream(v.partition())
	msg, err := stream.GetLastMsgForSubject(v.ctx, wire.PartSubject(v.layout.Number, v.partition(), host))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0
	}
	must(v.t, err)
	return msg.Sequence
}

// tableAtHead is what the chain of the site's host holds.
func (v *view) tableAtHead() wire.Table {
	v.t.Helper()
	stream, _ := v.stream(v.partition())
	subject := wire.PartSubject(v.layout.Number, v.partition(), host)
	for {
		head := v.head()
		table := v.table(v.layout.Stream(v.partition()), host)
		linked, err := wire.Follow(v.ctx, stream, subject, &table, head)
		must(v.t, err)
		if linked { // else a purge ran meanwhile
			return table
		}
	}
}

// messages reads everything a stream holds, in order.
func (v *view) messages(partition int) []*jetstream.RawStreamMsg {
	v.t.Helper()
	stream, info := v.stream(partition)
	var all []*jetstream.RawStreamMsg
	for seq := info.State.FirstSeq; seq != 0 && seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(v.ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // purged
		}
		must(v.t, err)
		all = append(all, msg)
	}
	return all
}
