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
	"slices"

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
// at its next start, and everything in it would be gone from the hub, or from this node of it: the others have it then. Receivers' own buckets are mended, too, but may not keep the hub from its start.
func repairStreams(dir string, l wire.Layout, clustered bool, log *slog.Logger) error {
	streams := filepath.Join(dir, streamsDir, accountLogs, "streams")
	entries, err := os.ReadDir(streams)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list streams: %w", err)
	}
	ours := streamNames(l)
	for _, entry := range entries {
		name := entry.Name()
		err := repairStream(filepath.Join(streams, name), name, log)
		if err != nil && slices.Contains(ours, name) && !clustered {
			return fmt.Errorf("repair stream %s: %w", name, err)
		}
		if err != nil {
			log.Warn("stream that is none of the hub's own, or that other nodes have too, is damaged", "stream", name, "err", err)
		}
	}
	return nil
}

// streamNames are the bucket's and the partitions'.
func streamNames(l wire.Layout) []string {
	names := []string{bucketName}
	for p := range l.Partitions {
		names = append(names, l.Stream(p))
	}
	return names
}

func repairStream(dir, name string, log *slog.Logger) error {
	meta, err := os.ReadFile(filepath.Join(dir, metaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was configured yet
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
