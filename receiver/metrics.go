package receiver

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/logdrive/logdrive/receiver/archive"
)

// metrics are the receiver's figures for Prometheus.
type metrics struct {
	commit   prometheus.Histogram
	endToEnd prometheus.Histogram
	raw      prometheus.Counter
	leader   prometheus.Gauge
	owner    *prometheus.GaugeVec
	bytes    *prometheus.GaugeVec
	limit    *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer, a *archive.Archive) (*metrics, error) {
	partition := []string{"partition"}
	m := &metrics{
		commit:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "logdrive_archive_commit_seconds", Help: "Time to make a group of batches durable.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
		endToEnd: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "logdrive_end_to_end_seconds", Help: "Age of the oldest batch of a group, from its arrival at the hub to its commit in the archive.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 18)}),
		raw:      prometheus.NewCounter(prometheus.CounterOpts{Name: "logdrive_archive_raw_bytes_total", Help: "Bytes committed to the archive."}),
		leader:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "logdrive_leader", Help: "1 while this process coordinates the receivers."}),
		owner:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "logdrive_partition_owner", Help: "1 while this process owns the partition."}, partition),
		bytes:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "logdrive_stream_bytes", Help: "Bytes in the partition's stream; told by the coordinator."}, partition),
		limit:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "logdrive_stream_limit_bytes", Help: "Size at which the partition's stream pushes back to the agents."}, partition),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.commit, m.endToEnd, m.raw, m.leader, m.owner, m.bytes, m.limit, archiveCollector{a}} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) committed(took time.Duration, g *group) {
	m.commit.Observe(took.Seconds())
	m.raw.Add(float64(g.commit.Bytes()))
	if !g.oldest.IsZero() {
		m.endToEnd.Observe(max(time.Since(g.oldest), 0).Seconds())
	}
}

func (m *metrics) owns(partition int, yes bool) {
	value := 0.0
	if yes {
		value = 1
	}
	m.owner.WithLabelValues(strconv.Itoa(partition)).Set(value)
}

func (m *metrics) stream(partition int, info *jetstream.StreamInfo) {
	label := strconv.Itoa(partition)
	m.bytes.WithLabelValues(label).Set(float64(info.State.Bytes))
	m.limit.WithLabelValues(label).Set(float64(info.Config.MaxBytes))
}
