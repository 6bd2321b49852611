package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/logdrive/logdrive/cmd/bench/fleet"
	"github.com/logdrive/logdrive/cmd/bench/proc"
)

// cost is what the processes of a role used together between two readings.
type cost struct {
	name string
	cpu  time.Duration
	rss  int64  // bytes at the end
	peak int64  // bytes since their start, each one's own peak
	each []cost // of each process
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

// costs of agents, hub and receiver. A process that did not run at the first reading counts from its start.
func costs(f *fleet.Fleet, before, after reading) []cost {
	var out []cost
	for _, role := range f.Roles() {
		sum := cost{name: role.Name}
		for _, p := range role.Processes {
			u := after[p.Name()]
			one := cost{name: p.Name(), cpu: u.CPU - before[p.Name()].CPU, rss: u.RSS, peak: u.Peak}
			sum.cpu, sum.rss, sum.peak, sum.each = sum.cpu+one.cpu, sum.rss+one.rss, sum.peak+one.peak, append(sum.each, one)
		}
		out = append(out, sum)
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

// singly tells what each process of a role used, in CPU seconds per GiB.
func singly(c cost, bytes int64) string {
	var parts []string
	for _, one := range c.each {
		parts = append(parts, fmt.Sprintf("%s %.2f", one.name, perGiB(one.cpu, bytes)))
	}
	return strings.Join(parts, ", ")
}
