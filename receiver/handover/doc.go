// Package handover decides who has archived what: it holds the record of a partition and compares it with an archive.
//
// The walk of a record: a receiver reads it from the hub's bucket, calls Reconcile with what its archive holds, carries out the
// Plan (sets bytes aside, reads ranges again), and, when the partition is its to take, writes TakeOver by compare-and-set (record.go). While
// it owns the partition it writes Advance after each of its own fsyncs, and Release when it leaves. Reconcile (reconcile.go) is the first
// thing at every start and whenever the record changed hands.
//
// Guarantees: every function is pure and total; none changes its receiver or arguments. Reconcile is safe to repeat, and safe on a stale
// record: it then sets less aside, and the next compare-and-set is refused. Not guaranteed here: that a record is written
// by compare-and-set only, and that the plan is carried out before the partition is read. The protocol stands on both.
//
// Values may be shared between goroutines as long as nobody writes to their slices.
//
//	plan, err := handover.Reconcile(record, archiveID, held)
//	// set plan.SetAside aside, read plan.ReadAgain again, then
//	next := record.TakeOver(archiveID) // written by compare-and-set: only then fetch from next.Floor+1
package handover
