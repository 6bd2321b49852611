package receiver

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/logdrive/logdrive/receiver/archive"
)

// archiveCollector asks the archive for its figures when Prometheus asks for them.
type archiveCollector struct{ archive *archive.Archive }

var (
	missingBytes = prometheus.NewDesc("logdrive_missing_bytes_total", "Bytes entered into the ledger, by reason.", []string{"reason"}, nil)
	doubledBytes = prometheus.NewDesc("logdrive_doubled_bytes_total", "Bytes that came again and were dropped.", nil, nil)
	quarantined  = prometheus.NewDesc("logdrive_quarantined_total", "Messages that could not be appended and are kept in quarantine.", nil, nil)
	openFiles    = prometheus.NewDesc("logdrive_archive_open_files", "Segments held open.", nil, nil)
	compressed   = prometheus.NewDesc("logdrive_archive_compressed_total", "Segments compressed.", nil, nil)
)

func (c archiveCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{missingBytes, doubledBytes, quarantined, openFiles, compressed} {
		out <- d
	}
}

func (c archiveCollector) Collect(out chan<- prometheus.Metric) {
	s := c.archive.Stats()
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for reason, n := range s.MissingBytes {
		counter(missingBytes, n, reason)
	}
	counter(doubledBytes, s.DoubledBytes)
	counter(quarantined, s.Quarantined)
	counter(compressed, s.Compressed)
	out <- prometheus.MustNewConstMetric(openFiles, prometheus.GaugeValue, float64(s.OpenFiles))
}
