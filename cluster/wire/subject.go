package wire

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// Subjects as agents use them: they carry the host and nothing else, so that credentials can be tied to one host.
const (
	LogSubjects   = "logs.*"    // batches, one token: the host
	HelloSubjects = "hello.*"   // the hello service, one token: the host
	NodesSubjects = "nodes.*.*" // which hub nodes there are, two tokens: the node that is asked, the host
)

// LogSubject is where the agent of host publishes its batches.
func LogSubject(host string) string { return "logs." + HostToken(host) }

// HelloSubject is where the agent of host says hello.
func HelloSubject(host string) string { return "hello." + HostToken(host) }

// NodesSubject is where the agent of host asks a hub node, the one it is linked to, for the nodes there are.
func NodesSubject(node, host string) string {
	return "nodes." + HostToken(node) + "." + HostToken(host)
}

// NodesSubjectsOf is what a node listens to.
func NodesSubjectsOf(node string) string { return NodesSubject(node, "*") }

// Mapping is the destination the hub maps LogSubjects onto: the server computes the partition, agents never do.
func Mapping(layout, partitions int) string {
	return fmt.Sprintf("part.%d.{{partition(%d,1)}}.{{wildcard(1)}}", layout, partitions)
}

// PartSubject is where the batches of host are stored.
func PartSubject(layout, partition int, host string) string {
	return fmt.Sprintf("part.%d.%d.%s", layout, partition, HostToken(host))
}

// PartSubjects is what the stream of a partition listens to.
func PartSubjects(layout, partition int) string {
	return fmt.Sprintf("part.%d.%d.*", layout, partition)
}

// HostOfPart is the host of a stored subject. Its error wraps ErrHost.
func HostOfPart(subject string) (string, error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 4 || tokens[0] != "part" {
		return "", fmt.Errorf("%w: %q is no partition subject", ErrHost, subject)
	}
	return HostOfToken(tokens[3])
}

// HostOfHello is the host of a hello subject. Its error wraps ErrHost.
func HostOfHello(subject string) (string, error) {
	token, ok := strings.CutPrefix(subject, "hello.")
	if !ok {
		return "", fmt.Errorf("%w: %q is no hello subject", ErrHost, subject)
	}
	return HostOfToken(token)
}

// Partition computes, as the server's mapping does, which of n partitions holds the host: FNV-1a over the one token.
func Partition(host string, n int) int {
	h := fnv.New32a()
	h.Write([]byte(HostToken(host)))
	return int(h.Sum32() % uint32(n))
}

// StreamName names the stream of a partition. It holds the hub's id and the layout number, because sequences mean
// something only within one stream: a floor of another hub or layout must never be taken for one of this.
func StreamName(hub string, layout, partition int) string {
	return fmt.Sprintf("LOGS-%s-%d-%d", hub, layout, partition)
}

// ParseStream is the inverse of StreamName.
func ParseStream(name string) (hub string, layout, partition int, err error) {
	parts := strings.Split(name, "-")
	if len(parts) != 4 || parts[0] != "LOGS" {
		return "", 0, 0, fmt.Errorf("%q is no stream of a partition", name)
	}
	layout, errLayout := strconv.Atoi(parts[2])
	partition, errPartition := strconv.Atoi(parts[3])
	if err := errors.Join(errLayout, errPartition); err != nil {
		return "", 0, 0, fmt.Errorf("%q is no stream of a partition: %w", name, err)
	}
	return parts[1], layout, partition, nil
}

// Names in the hub's key-value bucket.
const (
	Bucket        = "LOGDRIVE" // one bucket: layout, records, wishes and tables
	LayoutKey     = "layout"
	NextLayoutKey = "layout.next" // there while the layout is being changed
	DrainsKey     = "drains"      // receivers that shall own nothing
)

// WishesKey is the key of the coordinator's wishes: who should own the partitions of a layout.
func WishesKey(layout int) string { return "wishes." + strconv.Itoa(layout) }

// RecordKey is the key of a partition's record; layouts do not share records.
func RecordKey(layout, partition int) string {
	return "record." + strconv.Itoa(layout) + "." + strconv.Itoa(partition)
}

// TableKey is the key of a host's table as of one stream.
func TableKey(stream, host string) string { return "table." + stream + "." + HostToken(host) }

// TableKeys matches the tables of all hosts of a stream.
func TableKeys(stream string) string { return "table." + stream + ".*" }

// HostOfTable is the host of a table's key. Its error wraps ErrHost.
func HostOfTable(key string) (string, error) {
	rest, ok := strings.CutPrefix(key, "table.")
	_, token, found := strings.Cut(rest, ".")
	if !ok || !found {
		return "", fmt.Errorf("%w: %q is no key of a table", ErrHost, key)
	}
	return HostOfToken(token)
}

// Layout says how a hub divides the hosts. It stands under LayoutKey.
type Layout struct {
	Hub         string `json:"hub"`          // random id of the hub, made when it was founded
	Number      int    `json:"layout"`       // counts the layouts of a hub from 1
	Partitions  int    `json:"partitions"`   // how many partitions this layout has
	StreamBytes int64  `json:"stream_bytes"` // size limit of each partition's stream
}

// Stream names the stream of a partition of this layout.
func (l Layout) Stream(partition int) string { return StreamName(l.Hub, l.Number, partition) }

// MaxPartitions is how many partitions a hub may be divided into by a change of its layout.
const MaxPartitions = 256

// NextLayout is the layout that is wanted. It stands under NextLayoutKey from the wish until the layout before it is gone.
type NextLayout struct {
	Layout
	Sealing bool `json:"sealing,omitempty"` // the streams of the layout before are being sealed: there is no way back
}
