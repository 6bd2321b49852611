package aws_test

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/aws"
)

// What is read was preceded by what is written, in every call.
func TestWritesFirst(t *testing.T) {
	db := newDatabase(t)
	n := startNode(t, db, nil, "i-1", nil)
	db.fail("Query", 400, "AccessDeniedException")
	if _, err := n.Peers(t.Context()); err == nil || db.row("i-1") == nil {
		t.Errorf("when it cannot read (%v) the row is %v, want it written", err, db.row("i-1"))
	}
	asked := len(db.asked("Query"))
	db.fail("UpdateItem", 400, "AccessDeniedException")
	if _, err := n.Peers(t.Context()); err == nil || len(db.asked("Query")) != asked {
		t.Errorf("it has read although it could not write (%v)", err)
	}
}

func TestStatesStayReadable(t *testing.T) {
	db, c := newDatabase(t), newClock()
	n := startNode(t, db, c, "i-1", nil)
	check := func(want map[string]string) {
		t.Helper()
		row := db.row("i-1")
		for attr, value := range want {
			if row[attr] != value {
				t.Errorf("%s is %q, want %q", attr, row[attr], value)
			}
		}
	}
	n.sees(t, n)
	check(map[string]string{"state": "starting", "address": n.address, "instance": "i-1", "zone": "eu-central-1b", "version": "1", "reason": ""})
	n.report(t, cluster.Working, "")
	check(map[string]string{"state": "working", "version": "2", "reason": ""})
	n.report(t, cluster.Broken, "no meta leader")
	check(map[string]string{"state": "broken", "reason": "no meta leader", "reason_state": "broken"})
	n.sees(t, n)
	check(map[string]string{"state": "broken", "reason": "no meta leader"})
	n.report(t, cluster.Working, "")
	check(map[string]string{"state": "working", "reason": "no meta leader", "reason_state": "broken"})
	n.report(t, cluster.Leaving, "evicted by an operator")
	n.report(t, cluster.Left, "")
	n.report(t, cluster.Leaving, "") // by somebody who has not heard of it yet
	check(map[string]string{"state": "left", "reason": "evicted by an operator", "reason_state": "leaving"})

	again := n.process(t, db, c, nil) // a restart goes on counting
	if _, err := again.Peers(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(map[string]string{"state": "starting", "reason": "evicted by an operator", "version": "8"})
	expires, err := strconv.ParseInt(db.row("i-1")["expires"], 10, 64)
	if left := time.Until(time.Unix(expires, 0)); err != nil || left < 47*time.Hour || left > 49*time.Hour {
		t.Errorf("the row expires in %v (%v), want 48h", left, err)
	}
}

// Two processes under one name would be one node to all others.
func TestNameTwice(t *testing.T) {
	db, c := newDatabase(t), newClock()
	n := startNode(t, db, c, "i-1", nil)
	n.sees(t, n)
	other := n.process(t, db, c, nil)
	if _, err := other.Peers(t.Context()); err != nil {
		t.Errorf("a process that takes the row over: %v", err)
	}
	_, err := n.Peers(t.Context())
	wantError(t, err, "row i-1", "another process")
	_, err = other.Peers(t.Context())
	wantError(t, err, "another process")
	if _, err := other.Peers(t.Context()); err != nil {
		t.Errorf("after the other one has ended: %v", err)
	}
}

// More rows than fit into one answer are read all, each as of now.
func TestManyRows(t *testing.T) {
	db, c := newDatabase(t), newClock()
	n := startNode(t, db, c, "i-1", nil)
	n.sees(t, n)
	want := []string{n.address}
	for i := range 5 {
		address := fmt.Sprintf("10.0.1.%d:6222", i)
		want = append(want, address)
		s := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
		db.put(map[string]types.AttributeValue{
			"cluster": s("logs"), "name": s(fmt.Sprintf("i-9%d", i)), "address": s(address), "state": s("working"), "session": s("x"),
			"version": &types.AttributeValueMemberN{Value: "1"}, "reason": s(strings.Repeat("long ", 70_000)),
		})
	}
	peers, err := n.Peers(t.Context())
	if slices.Sort(peers.Routes); err != nil || !slices.Equal(peers.Routes, want) {
		t.Errorf("peers are %q (%v), want %q", peers.Routes, err, want)
	}
	queries := db.asked("Query")
	if len(queries) < 3 {
		t.Errorf("%d queries were asked, want several pages", len(queries))
	}
	for _, body := range queries {
		if !strings.Contains(body, `"ConsistentRead":true`) {
			t.Errorf("query %s is not consistent", body)
		}
	}
}

func TestForeignRow(t *testing.T) {
	db, c := newDatabase(t), newClock()
	n := startNode(t, db, c, "i-1", nil)
	s := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	db.put(map[string]types.AttributeValue{"cluster": s("logs"), "name": s("config")})
	_, err := n.Peers(t.Context())
	wantError(t, err, "row config of cluster logs", "no node's", "address")
	db.put(map[string]types.AttributeValue{"cluster": s("logs"), "name": s("config"), "address": s("10.0.0.1:1"), "version": s("1")})
	_, err = n.Peers(t.Context())
	wantError(t, err, "row config", "version is no number")
}

func TestFaults(t *testing.T) {
	db := newDatabase(t)
	for _, c := range []struct {
		operation string
		status    int
		code      string
		want      []string
	}{
		{"UpdateItem", 400, "AccessDeniedException", []string{"write the row of i-1", "lacks the permission dynamodb:UpdateItem"}},
		{"Query", 400, "AccessDeniedException", []string{"read cluster logs", "lacks the permission dynamodb:Query"}},
		{"Query", 400, "ExpiredTokenException", []string{"credentials for dynamodb:Query have expired"}},
		{"Query", 400, "UnrecognizedClientException", []string{"not valid", "clock"}},
		{"UpdateItem", 400, "ThrottlingException", []string{"AWS throttles dynamodb:UpdateItem", "on-demand"}},
		{"UpdateItem", 400, "ProvisionedThroughputExceededException", []string{"AWS throttles dynamodb:UpdateItem"}},
		{"UpdateItem", 400, "ResourceNotFoundException", []string{"there is no table " + db.table + " in region eu-central-1"}},
		{"UpdateItem", 400, "ValidationException", []string{"must have the partition key cluster and the sort key name"}},
		{"Query", 500, "InternalServerError", []string{"read cluster logs (dynamodb:Query)", "InternalServerError"}},
	} {
		t.Run(c.operation+" "+c.code, func(t *testing.T) {
			n := startNode(t, db, nil, "i-1", nil)
			db.fail(c.operation, c.status, c.code)
			peers, err := n.Peers(t.Context())
			wantError(t, err, c.want...)
			if !reflect.DeepEqual(peers, cluster.Peers{}) {
				t.Errorf("peers are %+v beside an error", peers)
			}
			db.heal()
			if _, err := n.Peers(t.Context()); err != nil {
				t.Errorf("after it is healed: %v", err)
			}
		})
	}
}

// The row of a dead node that may not be deleted is no reason to know nobody.
func TestForbiddenDeletion(t *testing.T) {
	db, c := newDatabase(t), newClock()
	x, _, _ := threeNodes(t, db, c)
	x.Adapter = x.process(t, db, c, func(cfg *aws.Config) { cfg.ForgetAfter = time.Minute })
	db.fail("DeleteItem", 400, "AccessDeniedException")
	for range 20 {
		c.pass(10 * time.Second)
		_, _ = x.Peers(t.Context())
	}
	x.sees(t, x)
	if !strings.Contains(x.log.String(), "lacks the permission dynamodb:DeleteItem") {
		t.Errorf("the log does not tell which permission is missing:\n%s", x.log)
	}
}
