// Package proc runs a program, measures what it uses and ends it.
//
// Start (proc.go) starts the program with its output in a file; Usage reads CPU time and memory while it runs (usage_linux.go from /proc,
// usage_other.go by ps); Stop asks it to end and Kill does not ask. On Linux the kernel kills the program when its parent dies, so that a killed
// bench leaves nothing behind.
//
// A Process may be used by several goroutines.
package proc
