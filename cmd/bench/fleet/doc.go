// Package fleet runs logdrive as an operator would, one process a role on one machine, and tells how far it has come.
//
// Start (fleet.go) starts hub and receiver and waits until each has written its ports file (ports.go); StartAgent adds the agent.
// Archived (progress.go) counts the bytes anybody can read in the archive; Floors (floor.go) asks the hub up to where every
// partition is archived for good, which is the receipt that the promise rests on. Stop ends all in the order agent, receiver, hub,
// and complains about a process that does not exit with status 0. StartCrew (crew.go) starts a hub alone; receivers and agents join and leave it.
package fleet
