package receiver

import "sync"

var faults sync.Map // by archive: func(partition int, where string) error

func init() {
	fault = func(archive string, partition int, where string) error {
		if f, ok := faults.Load(archive); ok {
			return f.(func(int, string) error)(partition, where)
		}
		return nil
	}
}

// SetFault makes the receiver of an archive call f at every named stop.
func SetFault(archive string, f func(partition int, where string) error) { faults.Store(archive, f) }
