package fleet

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Archived is how many bytes of logs can be read in the archive now, as long as nothing there is compressed.
func (f *Fleet) Archived() (int64, error) {
	var total int64
	err := filepath.WalkDir(filepath.Join(f.Archive(), "hosts"), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
