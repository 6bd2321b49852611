package archive

// fault, when a test has set it, is told where the archive stands. It may return an error, which is taken for one of the disk, or end the process.
var fault func(where string) error

func at(where string) error {
	if fault != nil {
		return fault(where)
	}
	return nil
}
