// Package fleet runs logdrive as an operator would, one process a role on one machine, and tells how far it has come.
//
// A hub (hub.go) is one node or several, which keep their names and addresses when they are killed and start again; linked.go finds out which
// of them an agent uses. Start (fleet.go) starts hub and receiver and waits until each has written its ports file (ports.go); StartAgent adds agents.
// Archived (progress.go) counts the bytes anybody can read in the archive; Floors (floor.go) asks the hub up to where every
// partition is archived for good, which is the receipt that the promise rests on. Stop ends all in the order agents, receiver, hub,
// and complains about a process that does not exit with status 0. StartCrew (crew.go) starts a hub alone; receivers and agents join and leave it.
package fleet
