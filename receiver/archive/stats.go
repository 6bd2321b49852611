package archive

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Stats is what an archive has done since it was opened; all of it only grows, but for OpenFiles.
type Stats struct {
	AppendedBytes int64            // written to segments
	DoubledBytes  int64            // dropped because they were archived already
	Quarantined   int64            // messages moved to quarantine/
	MissingBytes  map[string]int64 // entered into the ledger, by reason
	Commits       int64
	CommitTime    time.Duration // spent in them
	SyncedFiles   int64         // synced one by one
	SyncedAll     int64         // syncs of the whole file system
	Rotated       int64
	Compressed    int64
	Expired       int64
	OpenFiles     int // now
}

type stats struct {
	appended, doubled, quarantined, commits, commitTime  atomic.Int64
	syncedFiles, syncedAll, rotated, compressed, expired atomic.Int64

	mu      sync.Mutex
	missing map[string]int64
}

func (s *stats) miss(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing == nil {
		s.missing = map[string]int64{}
	}
	s.missing[e.Reason] += e.Missing()
}

// Stats is a snapshot of the counters.
func (a *Archive) Stats() Stats {
	s := &a.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		AppendedBytes: s.appended.Load(), DoubledBytes: s.doubled.Load(), Quarantined: s.quarantined.Load(), MissingBytes: maps.Clone(s.missing),
		Commits: s.commits.Load(), CommitTime: time.Duration(s.commitTime.Load()), SyncedFiles: s.syncedFiles.Load(), SyncedAll: s.syncedAll.Load(),
		Rotated: s.rotated.Load(), Compressed: s.compressed.Load(), Expired: s.expired.Load(), OpenFiles: a.files.count(),
	}
}
