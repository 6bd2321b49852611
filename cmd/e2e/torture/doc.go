// Package torture writes logs the way that loses lines elsewhere: 28 kinds of
// rotation, truncation, deletion and odd content that lose nothing, and 4 more that take bytes away, every line numbered.
//
// A test calls [Main] first thing in its TestMain, starts what it tests on
// Scenario.Source, runs [Scenario.Start], which writes in a process of its own
// (a copy of the test binary), reports the last line that has arrived through
// [Process.Arrived] (some scenarios must not destroy what nobody has read yet) and what the reader has seen and not shipped
// through [Process.Behind], kills and starts the reader as [Process.WantsReader] says, and checks
// the lines that came with [Scenario.Check] and what became of each byte of each file with [Scenario.Account].
//
// The files: scenarios.go (what is written), writer.go (how), history.go (what came of it), process.go (the
// child), told.go (what it hears), check.go (which lines must have come), account.go (which bytes).
package torture
