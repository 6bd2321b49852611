package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockWait is how long it takes to give up on a state directory that another process holds: one that is just ending lets go of it.
const lockWait = time.Second

// lock takes the state directory for this process, until the returned file is closed or the process ends.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock state directory %s: %w", dir, err), f.Close())
		case time.Now().After(end):
			return nil, errors.Join(fmt.Errorf("open state directory %s: %w", dir, ErrInUse), f.Close())
		}
	}
}
