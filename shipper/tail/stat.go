package tail

// stat is what the tailer needs to know of a file. Times are in nanoseconds
// since 1970; birth is 0 where the file system does not tell.
type stat struct {
	dev, ino     uint64
	birth, mtime int64
	size         int64
	links        uint64
	regular, dir bool
}

// inode names a file for as long as anyone holds it, and with its birth time beyond.
type inode struct {
	dev, ino uint64
	birth    int64
}

func (s stat) inode() inode { return inode{s.dev, s.ino, s.birth} }
