// Package demo shows on real log files what logdrive promises.
//
// Run (demo.go) finds log files of this machine (logs.go), lets a grower (grower.go) write one more, and ships all of them with `logdrive up`.
// While a view (view.go) shows what arrives, the growing file is rotated, logdrive is killed without warning, the file is rotated again
// while nobody looks, and logdrive is started anew. In the end judge (verdict.go) compares archive and sources byte for byte.
//
// A system's own log may grow after logdrive has ended: then the archive must be the beginning of it, and the verdict says so.
package demo
