// Package torture writes logs the way that loses lines elsewhere: 28 kinds of
// rotation, truncation, deletion and odd content, every line numbered.
//
// A test calls [Main] first thing in its TestMain, starts what it tests on
// Scenario.Source, runs [Scenario.Start], which writes in a process of its own
// (a copy of the test binary), reports the lines that have arrived through
// [Process.Arrived] (some scenarios must not destroy what nobody has read yet), and checks
// what came with [Scenario.Check].
//
// The files: scenarios.go (what is written), writer.go (how), process.go (the
// child), check.go (what must have come).
package torture
