package aws_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/aws"
)

var (
	_ cluster.Adapter  = (*aws.Adapter)(nil)
	_ cluster.Reporter = (*aws.Adapter)(nil)
	_ cluster.Ender    = (*aws.Adapter)(nil)
)

// node is an instance with an adapter on it. Its clock is the test's.
type node struct {
	*aws.Adapter
	*instance
	db      *database
	address string
	log     *bytes.Buffer
}

// clock is time that passes when a test says so.
type clock struct{ now time.Time }

func newClock() *clock                { return &clock{time.Now()} }
func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func startNode(t *testing.T, db *database, c *clock, id string, change func(*aws.Config)) *node {
	t.Helper()
	ip := fmt.Sprintf("10.0.0.%d", id[len(id)-1])
	n := &node{instance: newInstance(t, id, ip), db: db, address: ip + ":6222", log: new(bytes.Buffer)}
	n.Adapter = n.process(t, db, c, change)
	return n
}

// process is another process on the same instance.
func (n *node) process(t *testing.T, db *database, c *clock, change func(*aws.Config)) *aws.Adapter {
	t.Helper()
	sdk := sdkConfig()
	cfg := aws.DefaultConfig()
	cfg.Cluster, cfg.Table, cfg.Nodes, cfg.AWS = "logs", db.table, 3, &sdk
	cfg.Endpoints = aws.Endpoints{DynamoDB: db.url, Metadata: n.server.URL}
	cfg.PollEvery = 5 * time.Millisecond
	cfg.Timeout = time.Minute
	cfg.Logger = slog.New(slog.NewTextHandler(n.log, nil))
	if change != nil {
		change(&cfg)
	}
	a, err := aws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if c != nil {
		aws.SetClock(a, func() time.Time { return c.now })
	}
	return a
}

func addresses(nodes ...*node) (list []string) {
	for _, n := range nodes {
		list = append(list, n.address)
	}
	slices.Sort(list)
	return list
}

// sees fails the test unless the node has exactly these for peers.
func (n *node) sees(t *testing.T, others ...*node) {
	t.Helper()
	peers, err := n.Peers(t.Context())
	slices.Sort(peers.Routes)
	if want := (cluster.Peers{Routes: addresses(others...)}); err != nil || !reflect.DeepEqual(peers, want) {
		t.Errorf("%s sees %+v (%v), want %+v", n.address, peers, err, want)
	}
}

func (n *node) report(t *testing.T, state cluster.State, reason string) {
	t.Helper()
	if err := n.Report(t.Context(), cluster.Status{State: state, Reason: reason}); err != nil {
		t.Errorf("report %s: %v", state, err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error is %v, want %q in it", err, part)
		}
	}
}

func threeNodes(t *testing.T, db *database, c *clock) (x, y, z *node) {
	t.Helper()
	x, y, z = startNode(t, db, c, "i-1", nil), startNode(t, db, c, "i-2", nil), startNode(t, db, c, "i-3", nil)
	for _, n := range []*node{x, y, z} { // the first of them is alone, the others cannot know yet whether those before them live
		_, _ = n.Peers(t.Context())
	}
	for _, n := range []*node{x, y, z} {
		n.sees(t, x, y, z)
	}
	return x, y, z
}

// Of nodes that start at the same moment each sees all: whoever reads has written before.
func TestStartTogether(t *testing.T) {
	db := newDatabase(t)
	for round := range 5 {
		inRound := func(c *aws.Config) { c.Cluster = "logs-" + strconv.Itoa(round) }
		nodes := []*node{startNode(t, db, nil, "i-1", inRound), startNode(t, db, nil, "i-2", inRound), startNode(t, db, nil, "i-3", inRound)}
		var wg sync.WaitGroup
		var complete atomic.Int32 // how many have seen all; they look on for the others
		for _, n := range nodes {
			wg.Go(func() {
				saw := false
				for looks := 1; complete.Load() < int32(len(nodes)); looks++ {
					peers, err := n.Peers(t.Context())
					slices.Sort(peers.Routes)
					if !saw && err == nil && slices.Equal(peers.Routes, addresses(nodes...)) {
						saw = true
						complete.Add(1)
					}
					if looks > 1000 {
						t.Errorf("%s sees %+v (%v), want all three", n.address, peers, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// A row that was there before this node looked says nothing of its node until it changes, or has been quiet for long.
func TestFirstLook(t *testing.T) {
	db, c := newDatabase(t), newClock()
	gone := startNode(t, db, c, "i-1", nil)
	gone.sees(t, gone)
	x, y := startNode(t, db, c, "i-2", nil), startNode(t, db, c, "i-3", nil)
	for range 3 {
		_, err := x.Peers(t.Context())
		wantError(t, err, "not known yet whether i-1 live", "30s")
		_, _ = y.Peers(t.Context())
		c.pass(10 * time.Second)
	}
	x.sees(t, x, y)
	y.sees(t, x, y)
}

func TestDeadNodeAgesOut(t *testing.T) {
	db, c := newDatabase(t), newClock()
	x, y, z := threeNodes(t, db, c)
	for range 5 { // z is silent for less than 30 s since the first of these looks
		c.pass(7 * time.Second)
		x.sees(t, x, y, z)
		y.sees(t, x, y, z)
	}
	c.pass(7 * time.Second)
	x.sees(t, x, y)
	z.sees(t, x, y, z) // it was only slow
	x.sees(t, x, y, z)
}

// Time in which this node did not look, or could not, is held against nobody.
func TestOwnAbsence(t *testing.T) {
	db, c := newDatabase(t), newClock()
	x, y, z := threeNodes(t, db, c)
	x.sees(t, x, y, z)
	c.pass(time.Hour) // stopped, and gone on
	x.sees(t, x, y, z)
	x.sees(t, x, y, z)
	for range 10 { // the table comes and goes, the others do not get through to it
		db.fail("UpdateItem", 500, "InternalServerError")
		c.pass(9 * time.Second)
		_, err := x.Peers(t.Context())
		wantError(t, err, "write the row of i-1")
		db.heal()
		c.pass(9 * time.Second)
		x.sees(t, x, y, z)
	}
	for range 2 { // 10 s of the hour count; two more looks, and they are dead indeed
		c.pass(10 * time.Second)
		_, _ = x.Peers(t.Context())
	}
	x.sees(t, x)
}

func TestForgetting(t *testing.T) {
	db, c := newDatabase(t), newClock()
	x, _, z := threeNodes(t, db, c)
	z.report(t, cluster.Broken, "disk died")
	silent := func(d time.Duration) {
		for until := c.now.Add(d); c.now.Before(until); {
			c.pass(10 * time.Second)
			_, _ = x.Peers(t.Context())
		}
	}
	shorten := func(cfg *aws.Config) { cfg.ForgetAfter = 2 * time.Minute }
	x.Adapter = x.process(t, db, c, shorten)
	silent(time.Minute)
	if row := db.row("i-3"); row["reason"] != "disk died" {
		t.Errorf("the row of a dead node is %v, want it with its reason", row)
	}
	silent(2 * time.Minute)
	if row := db.row("i-3"); row != nil {
		t.Errorf("the row of a node that is long dead is %v, want none", row)
	}
	if !strings.Contains(x.log.String(), "peer=i-3 state=broken reason=\"disk died\"") {
		t.Errorf("the log does not tell why it died:\n%s", x.log)
	}
	z.sees(t, z, x) // it comes back; the other one's row is gone too
	x.sees(t, x, z)
}

// A node that lives again between the look and the deletion keeps its row.
func TestRevivedNodeIsNotDeleted(t *testing.T) {
	db, c := newDatabase(t), newClock()
	x, _, z := threeNodes(t, db, c)
	x.Adapter = x.process(t, db, c, func(cfg *aws.Config) { cfg.ForgetAfter = time.Minute })
	revived := false
	db.before("DeleteItem", func(body string) {
		if strings.Contains(body, "i-3") && !revived {
			revived = true
			if err := z.Report(t.Context(), cluster.Status{State: cluster.Working}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		c.pass(10 * time.Second)
		_, _ = x.Peers(t.Context())
		if revived {
			break
		}
	}
	if row := db.row("i-3"); !revived || row["state"] != "working" {
		t.Errorf("the row of a node that lives again is %v (revived: %v), want it there and working", row, revived)
	}
	x.sees(t, x, z)
}

func TestNodesThatLeft(t *testing.T) {
	db, c := newDatabase(t), newClock()
	x, y, z := threeNodes(t, db, c)
	z.report(t, cluster.Leaving, "scaled in")
	x.sees(t, x, y, z)
	z.report(t, cluster.Left, "scaled in")
	x.sees(t, x, y)
	late := startNode(t, db, c, "i-4", nil)
	_, _ = late.Peers(t.Context())
	x.sees(t, x, y, late)
	y.sees(t, x, y, late)
	late.sees(t, x, y, late) // that i-3 has left is known without waiting
}
