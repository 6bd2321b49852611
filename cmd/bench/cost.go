package main

import (
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/proc"
)

// cost is what a process used between two readings.
type cost struct {
	name string
	cpu  time.Duration
	rss  int64 // bytes at the end
	peak int64 // bytes since its start
}

// reading is the meters of all processes at one time.
type reading map[string]proc.Usage

func meter(f *fleet.Fleet) reading {
	r := reading{}
	for _, p := range f.Processes() {
		r[p.Name()] = p.Usage()
	}
	return r
}

// costs of agent, hub and receiver. A process that did not run at the first reading counts from its start.
func costs(before, after reading) []cost {
	var out []cost
	for _, name := range []string{"agent", "hub", "receiver"} {
		u := after[name]
		out = append(out, cost{name: name, cpu: u.CPU - before[name].CPU, rss: u.RSS, peak: u.Peak})
	}
	return out
}

func total(all []cost) time.Duration {
	var sum time.Duration
	for _, c := range all {
		sum += c.cpu
	}
	return sum
}
