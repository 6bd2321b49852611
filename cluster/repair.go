package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"

	"github.com/logdrive/logdrive/cluster/wire"
)

// Files of a stream's directory, as the server names them.
const (
	metaFile = "meta.inf"
	sumFile  = "meta.sum"
)

// repairStreams makes the checksums of the streams' configurations right before the server reads them. The server replaces first the
// configuration and then its checksum, each at once. Killed in between, while the limit of a stream was changed, it would not recognise the stream
// at its next start, and everything in it would be gone from the hub.
func repairStreams(dir string, l wire.Layout, log *slog.Logger) error {
	names := []string{bucketConfig().Name}
	for p := range l.Partitions {
		names = append(names, l.Stream(p))
	}
	for _, name := range names {
		if err := repairStream(filepath.Join(dir, streamsDir, accountLogs, "streams", name), name, log); err != nil {
			return fmt.Errorf("repair stream %s: %w", name, err)
		}
	}
	return nil
}

func repairStream(dir, name string, log *slog.Logger) error {
	meta, err := os.ReadFile(filepath.Join(dir, metaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there is no such stream, or not yet
	}
	if err != nil {
		return err
	}
	var cfg struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(meta, &cfg); err != nil || cfg.Name != name {
		return fmt.Errorf("%s is damaged (%v): restore the store from a backup", filepath.Join(dir, metaFile), err)
	}
	want, err := checksum(name, meta)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, sumFile)
	got, err := os.ReadFile(path)
	if err == nil && string(got) == want {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log.Warn("stream has the checksum of another configuration: the hub was killed while it was changed; mending it", "stream", name)
	return writeFile(path, []byte(want))
}

// checksum is what the server computes over a stream's configuration.
func checksum(name string, meta []byte) (string, error) {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		return "", err
	}
	h.Write(meta)
	return hex.EncodeToString(h.Sum(nil)), nil
}
