package archive

import (
	"errors"
	"syscall"
)

// isNotDir says that a file stands where a directory was looked for: what lies below does not exist.
func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
