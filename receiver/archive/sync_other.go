//go:build !linux

package archive

import (
	"errors"
	"os"
)

func syncData(f *os.File) error { return f.Sync() }

func syncAll(*os.File) error { return errors.ErrUnsupported }

// canSyncAll: without syncfs every file is synced by itself.
const canSyncAll = false

// yieldProcessor does nothing: threads have no priority of their own here.
func yieldProcessor() {}
