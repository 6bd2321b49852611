package archive

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData waits until the file's bytes and length are on disk; its times may lag.
func syncData(f *os.File) error {
	return retryInterrupted(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// syncAll waits until the whole file system of dir is on disk. It reports errors since dir was opened, so each partition uses a dir of its own.
func syncAll(dir *os.File) error {
	return retryInterrupted(func() error { return unix.Syncfs(int(dir.Fd())) })
}

// yieldProcessor lets every other thread go before this one.
func yieldProcessor() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19) // without it the work is only less polite
}

func retryInterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// canSyncAll says that syncAll exists here.
const canSyncAll = true
