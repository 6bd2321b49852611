package tail

import (
	"os"

	"golang.org/x/sys/unix"
)

const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

func statPath(path string) (stat, error) {
	return statx(unix.AT_FDCWD, path, 0)
}

func statFile(f *os.File) (stat, error) {
	return statx(int(f.Fd()), "", unix.AT_EMPTY_PATH)
}

func statx(dir int, path string, flags int) (stat, error) {
	var s unix.Statx_t
	for {
		err := unix.Statx(dir, path, flags, statMask, &s)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return stat{}, &os.PathError{Op: "stat", Path: path, Err: err}
		}
		break
	}
	st := stat{
		dev:     unix.Mkdev(s.Dev_major, s.Dev_minor),
		ino:     s.Ino,
		mtime:   s.Mtime.Sec*1e9 + int64(s.Mtime.Nsec),
		size:    int64(s.Size),
		links:   uint64(s.Nlink),
		regular: s.Mode&unix.S_IFMT == unix.S_IFREG,
		dir:     s.Mode&unix.S_IFMT == unix.S_IFDIR,
	}
	if s.Mask&unix.STATX_BTIME != 0 {
		st.birth = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
	}
	return st, nil
}
