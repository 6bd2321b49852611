package shipper

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/logdrive/logdrive/shipper/tail"
)

// metrics are the agent's figures for Prometheus.
type metrics struct {
	behind   prometheus.Gauge
	oldest   prometheus.Gauge
	sources  prometheus.Gauge
	publish  prometheus.Histogram
	raw      prometheus.Counter
	sent     prometheus.Counter
	retries  prometheus.Counter
	rewinds  prometheus.Counter
	missing  *prometheus.CounterVec
	faulting prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		behind:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "logdrive_agent_bytes_behind", Help: "Bytes in files that the hub has not acknowledged."}),
		oldest:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "logdrive_agent_oldest_unshipped_seconds", Help: "Age of the oldest byte that the hub has not acknowledged."}),
		sources:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "logdrive_agent_sources", Help: "Sources that are tailed."}),
		publish:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "logdrive_publish_seconds", Help: "Time from the first attempt to the PubAck of a batch.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}),
		raw:      prometheus.NewCounter(prometheus.CounterOpts{Name: "logdrive_agent_raw_bytes_total", Help: "Bytes of files that the hub acknowledged."}),
		sent:     prometheus.NewCounter(prometheus.CounterOpts{Name: "logdrive_agent_payload_bytes_total", Help: "The same, as they were sent."}),
		retries:  prometheus.NewCounter(prometheus.CounterOpts{Name: "logdrive_publish_retries_total", Help: "Attempts that did not bring a PubAck."}),
		rewinds:  prometheus.NewCounter(prometheus.CounterOpts{Name: "logdrive_agent_rewinds_total", Help: "Times the chain was found elsewhere than expected."}),
		missing:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "logdrive_agent_missing_bytes_total", Help: "Bytes that could not be had and were declared missing."}, []string{"reason"}),
		faulting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "logdrive_agent_faults", Help: "Paths that cannot be read now."}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.behind, m.oldest, m.sources, m.publish, m.raw, m.sent, m.retries, m.rewinds, m.missing, m.faulting} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) published(b *batch, took time.Duration) {
	m.publish.Observe(took.Seconds())
	m.raw.Add(float64(len(b.tail.Data)))
	m.sent.Add(float64(len(b.payload)))
	for _, x := range b.tail.Missing {
		m.missing.WithLabelValues(x.Reason).Add(float64(max(x.To-x.From, 0)))
	}
}

func (m *metrics) retried() { m.retries.Inc() }
func (m *metrics) rewound() { m.rewinds.Inc() }

// tailing takes over what the tailer says of itself.
func (m *metrics) tailing(s tail.Stats) {
	m.behind.Set(float64(s.Behind))
	m.sources.Set(float64(s.Sources))
	m.faulting.Set(float64(len(s.Faults)))
	m.oldest.Set(0)
	if !s.OldestPending.IsZero() {
		m.oldest.Set(time.Since(s.OldestPending).Seconds())
	}
}
