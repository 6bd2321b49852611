package tail

import (
	"os"
	"syscall"
)

func statPath(path string) (stat, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stat{}, err
	}
	return statInfo(info), nil
}

func statFile(f *os.File) (stat, error) {
	info, err := f.Stat()
	if err != nil {
		return stat{}, err
	}
	return statInfo(info), nil
}

func statInfo(info os.FileInfo) stat {
	s := info.Sys().(*syscall.Stat_t)
	return stat{
		dev:     uint64(uint32(s.Dev)),
		ino:     s.Ino,
		birth:   s.Birthtimespec.Nano(),
		mtime:   s.Mtimespec.Nano(),
		size:    s.Size,
		links:   uint64(s.Nlink),
		regular: info.Mode().IsRegular(),
		dir:     info.IsDir(),
	}
}
