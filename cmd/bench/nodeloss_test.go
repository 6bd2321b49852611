package main

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster/wire"
	"github.com/logdrive/logdrive/cmd/bench/fleet"
)

func TestAHubIsWholeWhenOnlyWhatIsOnTheWayIsLacking(t *testing.T) {
	moment := 10 * time.Millisecond
	well := &jetstream.PeerInfo{Current: true, Active: moment}
	for _, tc := range []struct {
		name    string
		leader  string
		replica jetstream.PeerInfo
		whole   bool
	}{
		{"current", "a", *well, true},
		{"a batch is on its way", "a", jetstream.PeerInfo{Active: moment, Lag: 1}, true},
		{"far behind", "a", jetstream.PeerInfo{Active: moment, Lag: 1000}, false},
		{"never heard of", "a", jetstream.PeerInfo{}, false},
		{"silent", "a", jetstream.PeerInfo{Current: true, Active: time.Minute}, false},
		{"offline", "a", jetstream.PeerInfo{Current: true, Active: moment, Offline: true}, false},
		{"no leader", "", *well, false},
	} {
		got := isWhole(&jetstream.ClusterInfo{Leader: tc.leader, Replicas: []*jetstream.PeerInfo{well, &tc.replica}})
		if got != tc.whole {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	if isWhole(&jetstream.ClusterInfo{Leader: "a", Replicas: []*jetstream.PeerInfo{well}}) || isWhole(nil) {
		t.Error("a stream without all copies is whole")
	}
}

func TestLeadersAreEvenWithinOne(t *testing.T) {
	a, b, c := &fleet.Node{}, &fleet.Node{}, &fleet.Node{}
	if !even(map[*fleet.Node]int{a: 3, b: 3, c: 2}) || even(map[*fleet.Node]int{a: 4, b: 2, c: 2}) || even(map[*fleet.Node]int{a: 4, b: 4, c: 0}) {
		t.Error("wrong")
	}
}

func TestHostsAreSpreadOverAnyNumberOfPartitions(t *testing.T) {
	hosts := hostsInEach(manyHosts)
	for _, partitions := range []int{1, 4, 8} {
		in := make([]int, partitions)
		for _, name := range hosts {
			in[wire.Partition(name, partitions)]++
		}
		for p, n := range in {
			if n != manyHosts/partitions {
				t.Errorf("%d hosts in partition %d of %d", n, p, partitions)
			}
		}
	}
}

func TestShareNamesWhatAHostLoses(t *testing.T) {
	p := newNodePlay(&troupe{floors: &floors{layout: wire.Layout{Partitions: 1}}})
	p.kill[share{true, false}].add(time.Second, 3*time.Second)
	p.kill[share{true, false}].add(2*time.Second, time.Second)
	all := p.losses()
	if len(all) != 9 || all[1].stored.span() != "2000 / 2000" || all[1].archived.span() != "3000 / 3000" {
		t.Errorf("%d losses, %+v", len(all), all[1])
	}
	names := map[string]bool{}
	for _, l := range all {
		names[l.name] = true
	}
	if len(names) != len(all) {
		t.Errorf("two are named alike: %v", names)
	}
}
