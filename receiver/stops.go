package receiver

// fault, when a test has set it, is told where the receiver of an archive stands. It may wait, as a process that is stopped does, or return an error, as if
// the process had died there or an answer had not come.
var fault func(archive string, partition int, where string) error

// everyPartition is the number of what concerns no single one.
const everyPartition = -1

func (r *Receiver) at(partition int, where string) error {
	if fault != nil {
		return fault(r.archive.ID(), partition, where)
	}
	return nil
}

func (t *tenure) at(where string) error { return t.Receiver.at(t.number, where) }
